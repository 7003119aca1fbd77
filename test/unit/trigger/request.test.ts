import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { factsWanted } from '../../../controller/trigger/decide.ts';
import { Farm } from '../../../protocol/farm.ts';
import type { AgentState } from '../../../protocol/record.ts';
import { agentOf, farmWith, job, nowMs, pullRequest, step } from './given.ts';

/** A farm with one run of a manual job, and its id. */
const withRun = () => {
  const world = farmWith(job('deploy', { type: 'manual' }));
  const run = world.ask({ kind: 'run', job: 'deploy' }).creates[0]?.id ?? '';
  return { ...world, world, run };
};
const stored = (world: ReturnType<typeof farmWith>, id: string) => {
  const run = world.farm.runs.get(id);
  assert.ok(run);
  return run;
};

describe('cancel', () => {
  test('an open run is cancelled by who asked', () => {
    const { ask, run } = withRun();
    const verdict = ask({ kind: 'cancel', run, force: false, reason: 'wrong branch' });
    assert.equal(verdict.decision, 'done');
    assert.deepEqual(verdict.cancels, [{ run, by: 'ann', reason: 'wrong branch', force: false }]);
  });

  test('without a reason, that somebody asked is the reason', () => {
    const { ask, run } = withRun();
    assert.equal(ask({ kind: 'cancel', run, force: false }).cancels[0]?.reason, 'ann asked for it');
  });

  test('an open run needs no facts', () => {
    const { ask, run, world } = withRun();
    ask({ kind: 'cancel', run, force: false });
    assert.deepEqual(world.wanted, []);
  });

  test('a run that is being cancelled is not cancelled again', () => {
    const { ask, run } = withRun();
    ask({ kind: 'cancel', run, force: false });
    const verdict = ask({ kind: 'cancel', run, force: false });
    assert.deepEqual([verdict.decision, verdict.cancels], ['done', []]);
    assert.match(verdict.reason, /being cancelled already, by 'ann'/);
  });

  test('unless by force', () => {
    const { ask, run } = withRun();
    ask({ kind: 'cancel', run, force: false });
    assert.equal(ask({ kind: 'cancel', run, force: true }).cancels[0]?.force, true);
    assert.deepEqual(ask({ kind: 'cancel', run, force: true }).cancels, []);
  });

  test('force that is asked for while the run stops gently counts, once', () => {
    const { ask, run, world } = withRun();
    ask({ kind: 'cancel', run, force: false });
    world.happened(run, { type: 'cancel', by: 'ann', reason: 'x', force: false, atMs: nowMs });
    assert.equal(ask({ kind: 'cancel', run, force: true }).cancels.length, 1);
    assert.deepEqual(ask({ kind: 'cancel', run, force: true }).cancels, []);
  });

  test('a run that has ended stays as it ended', () => {
    const { ask, run, world } = withRun();
    world.ended(run);
    const verdict = ask({ kind: 'cancel', run, force: true });
    assert.deepEqual([verdict.decision, verdict.cancels], ['done', []]);
    assert.match(verdict.reason, /had ended already: it passed/);
  });

  test('so does one that has been archived: it is asked for as a fact', () => {
    const { ask, run, world } = withRun();
    world.ended(run);
    const archived = stored(world, run);
    world.happened(run, { type: 'archived' });
    const verdict = ask({ kind: 'cancel', run, force: false }, { run: archived });
    assert.deepEqual(world.wanted, [{ kind: 'run', run }]);
    assert.match(verdict.reason, /had ended already/);
  });

  test('a run that nobody knows is refused', () => {
    const verdict = withRun().ask({ kind: 'cancel', run: '123', force: false });
    assert.equal(verdict.decision, 'refused');
    assert.match(verdict.reason, /there is no run 123/);
  });

  test('a fact about another run is not believed', () => {
    const { ask, run, world } = withRun();
    assert.equal(ask({ kind: 'cancel', run: '123', force: false }, { run: stored(world, run) }).decision, 'refused');
  });
});

describe('retry', () => {
  test('is the same run again under a new id', () => {
    const { ask, run, world } = withRun();
    world.ended(run);
    const before = stored(world, run);
    const [again, ...others] = ask({ kind: 'retry', run }).creates;
    assert.deepEqual(others, []);
    assert.ok(again && again.id > run);
    const { id, retryOf, by, delivery, createdAtMs, ...same } = again;
    assert.deepEqual([retryOf, by, delivery, createdAtMs], [run, 'ann', 'person/p2', nowMs]);
    for (const [key, value] of Object.entries(same)) assert.deepEqual(value, before[key as keyof typeof before], key);
    assert.equal(stored(world, id).state, 'queued');
    assert.equal('endedAtMs' in again || 'at' in again, false);
  });

  test('an untrusted run stays untrusted, whoever retries it', () => {
    const world = farmWith(job('lint', { trust: 'all' }));
    const [first] = world.github('pull_request', pullRequest()).creates;
    world.ended(first?.id ?? '');
    assert.equal(world.ask({ kind: 'retry', run: first?.id ?? '' }).creates[0]?.trusted, false);
  });

  test('of a retry names the run that was retried', () => {
    const { ask, run, world } = withRun();
    world.ended(run);
    const second = ask({ kind: 'retry', run }).creates[0]?.id ?? '';
    world.ended(second);
    assert.equal(ask({ kind: 'retry', run: second }).creates[0]?.retryOf, second);
  });

  test('does not look at the configuration', () => {
    const { ask, run, world } = withRun();
    world.ended(run);
    world.jobs = [];
    assert.equal(ask({ kind: 'retry', run }).decision, 'runs');
  });

  test('an archived run is retried from facts', () => {
    const { ask, run, world } = withRun();
    world.ended(run);
    const archived = { ...stored(world, run), spec: { object: 'spec/x' } };
    world.happened(run, { type: 'archived' });
    const verdict = ask({ kind: 'retry', run }, { run: archived, spec: [step] });
    assert.deepEqual(world.wanted, [{ kind: 'run', run }]);
    assert.deepEqual(verdict.creates[0]?.spec, { inline: [step] });
    assert.deepEqual(
      verdict.creates[0]?.steps.map((s) => s.name),
      ['test'],
    );
  });

  test('a run whose steps are in object storage is asked for, though the farm knows it', () => {
    const { run, world } = withRun();
    world.ended(run);
    world.farm.runs.set(run, { ...stored(world, run), spec: { object: 'spec/x' } });
    world.ask({ kind: 'retry', run });
    assert.deepEqual(world.wanted, [{ kind: 'run', run }]);
  });

  test('without its steps it is refused', () => {
    const { ask, run, world } = withRun();
    world.ended(run);
    const lost = { ...stored(world, run), spec: { object: 'spec/x' } };
    world.happened(run, { type: 'archived' });
    for (const facts of [{ run: lost }, { run: lost, spec: [] }]) {
      const verdict = ask({ kind: 'retry', run }, facts);
      assert.equal(verdict.decision, 'refused');
      assert.match(verdict.reason, /are not kept any more/);
    }
  });

  test('of a run that goes on is refused', () => {
    const { ask, run, world } = withRun();
    const verdict = ask({ kind: 'retry', run });
    assert.match(verdict.reason, /has not ended; cancel it first/);
    assert.deepEqual([verdict.decision, world.wanted], ['refused', []]);
  });

  test('of a run that nobody knows is refused', () => {
    assert.match(farmWith().ask({ kind: 'retry', run: '123' }).reason, /there is no run 123/);
  });
});

describe('queue', () => {
  test('is paused by who asked, with the reason', () => {
    const world = farmWith();
    world.ask({ kind: 'queue', queue: 'gpu', paused: true, reason: 'new drivers' });
    assert.deepEqual(world.farm.pausedQueues.get('gpu'), { by: 'ann', reason: 'new drivers' });
  });

  test('paused again takes the newer reason', () => {
    const world = farmWith();
    world.ask({ kind: 'queue', queue: 'gpu', paused: true, reason: 'new drivers' });
    world.ask({ kind: 'queue', queue: 'gpu', paused: true });
    assert.equal(world.farm.pausedQueues.get('gpu')?.reason, 'ann asked for it');
  });

  test('is served again', () => {
    const world = farmWith();
    world.ask({ kind: 'queue', queue: 'gpu', paused: true });
    assert.equal(world.ask({ kind: 'queue', queue: 'gpu', paused: false }).decision, 'done');
    assert.equal(world.farm.pausedQueues.size, 0);
  });

  test('that was not paused changes nothing', () => {
    const verdict = farmWith().ask({ kind: 'queue', queue: 'gpu', paused: false });
    assert.deepEqual([verdict.decision, verdict.changes], ['done', []]);
  });
});

describe('agent', () => {
  const rows: [before: AgentState, after: AgentState, decision: 'done' | 'refused', changed: boolean, why: RegExp][] = [
    ['serving', 'cordoned', 'done', true, /is cordoned: disk/],
    ['serving', 'draining', 'done', true, /is draining/],
    ['serving', 'revoked', 'done', true, /is revoked/],
    ['cordoned', 'serving', 'done', true, /is serving/],
    ['draining', 'serving', 'done', true, /is serving/],
    ['cordoned', 'cordoned', 'done', false, /was cordoned already/],
    ['revoked', 'revoked', 'done', false, /was revoked already/],
    ['revoked', 'serving', 'refused', false, /must join again with a new key/],
  ];
  for (const [before, after, decision, changed, why] of rows) {
    test(`from ${before} to ${after} is ${decision}`, () => {
      const world = farmWith();
      world.farm.agents.set('a1', agentOf('a1', { state: before }));
      const verdict = world.ask({ kind: 'agent', agent: 'a1', state: after, reason: 'disk' });
      assert.deepEqual([verdict.decision, verdict.changes.length], [decision, changed ? 1 : 0]);
      assert.match(verdict.reason, why);
      assert.equal(world.farm.agents.get('a1')?.state, changed ? after : before);
      assert.equal(world.farm.agents.get('a1')?.stateBy, changed ? 'ann' : undefined);
    });
  }

  test('that nobody knows is refused', () => {
    assert.match(farmWith().ask({ kind: 'agent', agent: 'a9', state: 'cordoned' }).reason, /there is no agent 'a9'/);
  });
});

describe('a request', () => {
  const bad = [undefined, null, 'run', {}, { kind: 'reboot' }, { kind: 'cancel', run: '../x', force: true }, { kind: 'retry' }];
  for (const request of bad) {
    test(`such as ${JSON.stringify(request)} is refused and wants no facts`, () => {
      const delivery = { v: 1, source: 'person', id: 'p', atMs: 1, by: 'ann', event: 'x', request } as never;
      assert.deepEqual(factsWanted(delivery, new Farm()), []);
      const verdict = farmWith().decide(delivery);
      assert.equal(verdict.decision, 'refused');
      assert.match(verdict.reason, /this is not a request/);
    });
  }

  test('of an agent for anything but joining is refused', () => {
    const world = farmWith(job('deploy', { type: 'manual' }));
    const request = { kind: 'run', job: 'deploy' } as const;
    const verdict = world.decide({ v: 1, source: 'agent', id: 'x', atMs: 1, by: 'a1', event: 'run', request });
    assert.deepEqual([verdict.decision, verdict.creates], ['refused', []]);
    assert.match(verdict.reason, /an agent may only ask to join, not for 'run'/);
  });
});

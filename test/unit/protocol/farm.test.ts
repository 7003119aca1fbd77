import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide } from '../../../protocol/dag.ts';
import { Farm, later } from '../../../protocol/farm.ts';
import { type Agent, type FarmRecord, recordVersion, type Verdict } from '../../../protocol/record.ts';
import { hasEnded, type NewRun, type Run, type RunEvent } from '../../../protocol/run.ts';
import { newRun, pullRefs, stepShape } from '../../support/runs.ts';
import { anyRun } from './play.ts';

const base = { v: recordVersion, term: 1, atMs: 5_000 };
const positions = { deliveries: 1, notices: 0 };

const verdictOf = (over: Partial<Verdict>): Verdict => ({
  decision: 'done',
  reason: 'asked',
  event: 'run',
  by: 'anna',
  rules: [],
  creates: [],
  cancels: [],
  changes: [],
  ...over,
});

/** A stream as a leader writes it: each record is appended, folded and kept with its sequence. */
class Stream {
  readonly farm = new Farm();
  readonly records: { record: FarmRecord; seq: number }[] = [];
  private deliveries = 0;

  append(wanted: FarmRecord): string[] {
    const seq = this.records.length + 1;
    const { term, nth } = this.farm;
    const record: FarmRecord =
      wanted.type === 'leader' ? { ...wanted, nth: 1 } : { ...wanted, term: Math.max(wanted.term, term), nth: nth + 1 };
    this.records.push({ record, seq });
    return this.farm.fold(record, seq);
  }
  verdict(over: Partial<Verdict>): string[] {
    const id = `d${++this.deliveries}`;
    const positions = { ...this.farm.positions, deliveries: this.deliveries };
    return this.append({ ...base, type: 'verdict', source: 'person', id, positions, verdict: verdictOf(over) });
  }
  create(over: Partial<NewRun> & Pick<NewRun, 'id'>): Run {
    this.verdict({ decision: 'runs', creates: [newRun([stepShape('a'), stepShape('b', { needs: ['a'] })], over)] });
    return this.run(over.id);
  }
  run(id: string): Run {
    const run = this.farm.runs.get(id);
    assert.ok(run, `run ${id}`);
    return run;
  }
  act(id: string, cause: RunEvent): string[] {
    const run = this.run(id);
    const { events } = decide(run, cause, base.atMs);
    const positions = { ...this.farm.positions, notices: this.farm.positions.notices + 1 };
    return this.append({ ...base, type: 'run', run: id, n: run.n + 1, positions, events });
  }
  cancel(id: string, force = false): string[] {
    return this.verdict({ cancels: [{ run: id, by: 'anna', reason: 'enough', force }] });
  }
  /** Snapshots of all runs, and a checkpoint. @returns the sequence of the first record that is still needed */
  checkpoint(mark: number): number {
    for (const run of [...this.farm.runs.values()]) this.append({ ...base, type: 'snapshot', run });
    const { leader, leaderUrl, positions, lastRunId, agents, pausedQueues, pulls, config } = this.farm;
    this.append({
      ...base,
      term: this.farm.term,
      type: 'checkpoint',
      leader,
      leaderUrl,
      positions,
      lastRunId,
      agents: [...agents.values()],
      queues: [...pausedQueues],
      pulls: [...pulls],
      config,
    });
    return mark;
  }
}

const foldFrom = (stream: Stream, first: number): Farm => {
  const farm = new Farm();
  for (const { record, seq } of stream.records) if (seq >= first) farm.fold(record, seq);
  return farm;
};

const anAgent = (id: string): Agent => ({
  id,
  publicKey: 'U',
  curveKey: 'X',
  queues: ['default'],
  trust: 'any',
  executor: 'scripted',
  host: 'h',
  version: '0',
  joinedAtMs: 1,
  state: 'serving',
});

test('a verdict creates its runs, remembers the greatest id and says which runs changed', () => {
  const s = new Stream();
  const creates = [newRun([stepShape('a')], { id: '20' }), newRun([stepShape('a')], { id: '9' })];
  assert.deepEqual(s.verdict({ creates }), ['20', '9']);
  assert.equal(s.farm.lastRunId, '20');
  assert.equal(s.run('9').state, 'queued');
  assert.equal(s.farm.positions.deliveries, 1);
});

test('a run record is folded once: a lower or equal number changes nothing', () => {
  const s = new Stream();
  s.create({ id: '1' });
  s.act('1', { type: 'assigned', step: 'a', attempt: 1, agent: 'a1', atMs: 1 });
  const before = s.run('1');
  const again = s.records.at(-1)?.record;
  assert.ok(again);
  assert.deepEqual(s.append(again), []);
  assert.equal(s.run('1'), before);
});

test('a snapshot counts when its number is higher, and is ignored when it is not', () => {
  const s = new Stream();
  const run = s.create({ id: '1' });
  assert.deepEqual(s.append({ ...base, type: 'snapshot', run: { ...run, job: 'other' } }), []);
  assert.equal(s.run('1').job, 'unit');
  assert.deepEqual(s.append({ ...base, type: 'snapshot', run: { ...run, job: 'other', n: run.n + 1 } }), ['1']);
  assert.equal(s.run('1').job, 'other');
});

test('a run leaves the farm when it is archived', () => {
  const s = new Stream();
  s.create({ id: '1', refs: pullRefs('org/repo', 7) });
  s.act('1', { type: 'cancel', by: 'anna', reason: 'enough', force: true, atMs: 1 });
  assert.equal(s.run('1').state, 'cancelled');
  assert.deepEqual(
    s.append({ ...base, type: 'run', run: '1', n: 9, positions: s.farm.positions, events: [{ type: 'archived' }] }),
    ['1'],
  );
  assert.equal(s.farm.runs.size, 0);
});

test('open runs are found by their pull request until they end', () => {
  const s = new Stream();
  s.create({ id: '1', refs: pullRefs('org/repo', 7) });
  s.create({ id: '2', refs: pullRefs('org/repo', 7) });
  s.create({ id: '3' });
  assert.deepEqual([...(s.farm.openByPull.get('org/repo#7') ?? [])], ['1', '2']);
  s.act('1', { type: 'cancel', by: 'anna', reason: 'enough', force: true, atMs: 1 });
  assert.deepEqual([...(s.farm.openByPull.get('org/repo#7') ?? [])], ['2']);
  s.act('2', { type: 'cancel', by: 'anna', reason: 'enough', force: true, atMs: 1 });
  assert.equal(s.farm.openByPull.size, 0);
});

test('a cancel that a verdict asks for is due until the run says so itself', () => {
  const s = new Stream();
  s.create({ id: '1' });
  s.act('1', { type: 'assigned', step: 'a', attempt: 1, agent: 'a1', atMs: 1 });
  assert.deepEqual(s.cancel('1'), ['1']);
  assert.deepEqual([...s.farm.cancelAsked], ['1']);
  s.act('1', { type: 'cancel', atMs: 1, by: 'anna', reason: 'enough', force: false });
  assert.equal(s.farm.cancelAsked.size, 0);
});

test('force asked for later is due again, and asking without force does not take it back', () => {
  const s = new Stream();
  s.create({ id: '1' });
  s.act('1', { type: 'assigned', step: 'a', attempt: 1, agent: 'a1', atMs: 1 });
  s.cancel('1');
  s.act('1', { type: 'cancel', atMs: 1, by: 'anna', reason: 'enough', force: false });
  s.cancel('1', true);
  s.cancel('1', false);
  assert.deepEqual([...s.farm.cancelAsked], ['1']);
  assert.equal(s.run('1').cancelAsked?.force, true);
});

test('a cancel of a run that has ended or is not known changes nothing', () => {
  const s = new Stream();
  s.create({ id: '1' });
  s.act('1', { type: 'cancel', atMs: 1, by: 'anna', reason: 'enough', force: true });
  const ended = s.run('1');
  assert.deepEqual(s.cancel('1', true), []);
  assert.deepEqual(s.cancel('404'), []);
  assert.equal(s.run('1'), ended);
  assert.equal(s.farm.cancelAsked.size, 0);
});

test('agents, queues and pull requests change by verdicts', () => {
  const s = new Stream();
  s.verdict({ changes: [{ type: 'agent', agent: anAgent('a1') }] });
  s.verdict({ changes: [{ type: 'agent-state', agent: 'a1', state: 'cordoned', by: 'anna' }] });
  s.verdict({ changes: [{ type: 'queue', queue: 'gpu', paused: { by: 'anna', reason: 'heat' } }] });
  s.verdict({ changes: [{ type: 'pull', key: 'org/repo#7', pull: { allowed: true } }] });
  assert.equal(s.farm.agents.get('a1')?.state, 'cordoned');
  assert.equal(s.farm.pausedQueues.get('gpu')?.reason, 'heat');
  assert.equal(s.farm.pulls.get('org/repo#7')?.allowed, true);
  s.verdict({ changes: [{ type: 'queue', queue: 'gpu', paused: false }] });
  s.verdict({ changes: [{ type: 'pull', key: 'org/repo#7', pull: null }] });
  assert.equal(s.farm.pausedQueues.size + s.farm.pulls.size, 0);
});

test('an agent is silent from when the leader says so until it says that it is heard', () => {
  const s = new Stream();
  s.verdict({ changes: [{ type: 'agent', agent: anAgent('a1') }] });
  s.append({ ...base, type: 'agent', agent: 'a1', silentSinceMs: 77 });
  assert.equal(s.farm.agents.get('a1')?.silentSinceMs, 77);
  s.append({ ...base, type: 'agent', agent: 'a1', silentSinceMs: null });
  assert.deepEqual(s.farm.agents.get('a1'), anAgent('a1'));
});

test('a configuration that cannot be loaded leaves the good one in force and says what is wrong', () => {
  const s = new Stream();
  s.append({ ...base, type: 'config', hash: 'abc', problems: [], jobs: 3 });
  s.append({ ...base, atMs: 6_000, type: 'config', hash: null, problems: ['a.yaml:1: no'], jobs: 0 });
  assert.deepEqual(s.farm.config, { hash: 'abc', loadedAtMs: 5_000, jobs: 3, problems: ['a.yaml:1: no'], problemsAtMs: 6_000 });
});

test('records of a higher level raise the level, are counted and change nothing else', () => {
  const s = new Stream();
  s.create({ id: '1' });
  const before = s.run('1');
  assert.deepEqual(s.append({ ...base, v: recordVersion + 1, type: 'snapshot', run: { ...before, n: 99 } }), []);
  assert.equal(s.farm.level, recordVersion + 1);
  assert.equal(s.farm.seq, 2);
  assert.equal(s.run('1'), before);
  s.create({ id: '2' });
  assert.equal(s.farm.level, recordVersion + 1, 'the level does not fall again');
});

test('a record of an unknown type changes nothing', () => {
  const s = new Stream();
  assert.deepEqual(s.append(JSON.parse('{"v":1,"term":1,"atMs":1,"type":"weather"}')), []);
});

test('a copy is folded further without changing what it was copied from', () => {
  const s = new Stream();
  s.create({ id: '1', refs: pullRefs('org/repo', 7) });
  s.verdict({ changes: [{ type: 'agent', agent: anAgent('a1') }] });
  const copy = s.farm.copy();
  assert.deepEqual(copy, s.farm);
  const before = structuredClone(plain(s.farm));
  const cancels = [{ run: '1', by: 'anna', reason: 'enough', force: false }];
  const changes = [
    { type: 'agent-state' as const, agent: 'a1', state: 'revoked' as const, by: 'anna' },
    { type: 'queue' as const, queue: 'gpu', paused: { by: 'anna', reason: 'heat' } },
    { type: 'pull' as const, key: 'org/repo#7', pull: { allowed: true } },
  ];
  const creates = [newRun([stepShape('a')], { id: '2', refs: pullRefs('org/repo', 7) })];
  const positions = { deliveries: 9, notices: 9 };
  const verdict = verdictOf({ creates, cancels, changes });
  copy.fold({ ...base, type: 'verdict', source: 'person', id: 'x', positions, verdict }, 99);
  assert.deepEqual(plain(s.farm), before);
  assert.notDeepEqual(plain(copy), before);
});

test('later compares run ids as numbers, however long they are', () => {
  assert.equal(later('10', '9'), true);
  assert.equal(later('9', '10'), false);
  assert.equal(later('9', '9'), false);
});

test('what comes of a leader whose term is over does not count', () => {
  const farm = new Farm();
  const records: FarmRecord[] = [
    { ...base, type: 'leader', nth: 1, id: 'c1', url: '' },
    { ...base, term: 2, type: 'leader', nth: 1, id: 'c2', url: '' },
    { ...base, type: 'verdict', nth: 2, source: 'person', id: '1', positions, verdict: verdictOf({ creates: [newRun()] }) },
    { ...base, type: 'leader', nth: 1, id: 'c1', url: '' },
    { ...base, term: 2, type: 'leader', nth: 1, id: 'c3', url: '' },
  ];
  for (const [i, record] of records.entries()) farm.fold(record, i + 1);
  assert.deepEqual([farm.term, farm.leader, farm.runs.size, farm.positions.deliveries, farm.seq], [2, 'c2', 0, 0, 5]);
});

test('when a record is missing, all that follows in its term does not count, and the next term does', () => {
  const farm = new Farm();
  const verdict = (nth: number): FarmRecord => {
    const creates = [newRun(undefined, { id: `${nth}` })];
    return { ...base, type: 'verdict', nth, source: 'person', id: `${nth}`, positions, verdict: verdictOf({ creates }) };
  };
  farm.fold({ ...base, type: 'leader', nth: 1, id: 'c1', url: '' }, 1);
  farm.fold(verdict(2), 2);
  farm.fold(verdict(4), 3);
  farm.fold(verdict(5), 4);
  assert.deepEqual([[...farm.runs.keys()], farm.nth], [['2'], 2]);
  assert.equal(farm.counts(verdict(3)), true);
  farm.fold({ ...base, term: 2, type: 'leader', nth: 1, id: 'c1', url: '' }, 5);
  farm.fold({ ...verdict(6), term: 2, nth: 2 }, 6);
  assert.deepEqual([...farm.runs.keys()], ['2', '6']);
});

test('a reader that begins in the middle of a term goes on from there', () => {
  const farm = new Farm();
  farm.fold({ ...base, term: 7, type: 'alive', nth: 30 }, 900);
  assert.deepEqual([farm.term, farm.nth], [7, 30]);
  assert.equal(farm.counts({ ...base, term: 7, type: 'alive', nth: 31 }), true);
  assert.equal(farm.counts({ ...base, term: 7, type: 'alive', nth: 32 }), false);
});

/** What can be compared: a Farm without its methods. */
const plain = (farm: Farm): object => ({ ...farm });

type Turn = { kind: number; pick: number };
const turns = fc.array(fc.record({ kind: fc.nat(11), pick: fc.nat(1_000) }), { maxLength: 60 });

/** Appends something that may happen to a farm, chosen by `turn`. */
function happen(s: Stream, turn: Turn, shape: NewRun, ids: { last: number }): void {
  const open = [...s.farm.runs.values()].filter((r) => !hasEnded(r));
  const run = open[turn.pick % Math.max(1, open.length)];
  switch (turn.kind) {
    case 0:
    case 1: {
      const refs = turn.pick % 2 === 0 ? { refs: pullRefs('org/repo', 1 + (turn.pick % 3)) } : {};
      s.verdict({ creates: [{ ...shape, ...refs, id: `${++ids.last}` }] });
      return;
    }
    case 2:
      if (run) s.cancel(run.id, turn.pick % 3 === 0);
      return;
    case 3:
      for (const id of s.farm.cancelAsked) {
        const asked = s.run(id).cancelAsked;
        if (asked) s.act(id, { type: 'cancel', atMs: 1, ...asked });
      }
      return;
    case 4:
      s.verdict({ changes: [{ type: 'agent', agent: anAgent(`a${turn.pick % 3}`) }] });
      return;
    case 5:
      s.append({ ...base, type: 'agent', agent: `a${turn.pick % 3}`, silentSinceMs: turn.pick % 2 ? turn.pick : null });
      return;
    case 6:
      s.verdict({ changes: [{ type: 'queue', queue: 'q', paused: turn.pick % 2 ? false : { by: 'anna', reason: 'heat' } }] });
      return;
    case 7:
      s.append({ ...base, term: s.farm.term + 1, type: 'leader', id: `c${turn.pick % 2}`, url: `http://c${turn.pick % 2}` });
      return;
    case 8: {
      const ended = [...s.farm.runs.values()].find((r) => hasEnded(r));
      if (ended) s.act(ended.id, { type: 'archived' });
      return;
    }
    case 9:
      s.verdict({ changes: [{ type: 'pull', key: 'org/repo#1', pull: turn.pick % 2 ? null : { allowed: true } }] });
      return;
    default: {
      const step = run?.at.find((st) => st.state === 'ready' || st.state === 'running');
      if (!run || !step) return;
      const attempt = step.attempts.length;
      const agent = run.home ?? 'a1';
      if (step.state === 'ready') s.act(run.id, { type: 'assigned', step: step.name, attempt: attempt + 1, agent, atMs: 1 });
      else s.act(run.id, { type: 'attempt', step: step.name, attempt, event: turn.pick % 3 ? 'pass' : 'fail', atMs: 2 });
    }
  }
}

test('a fold from a checkpoint, its snapshots and the rest gives the same farm as a fold of all', () => {
  fc.assert(
    fc.property(anyRun, turns, turns, turns, fc.nat(100), (shape, before, between, after, far) => {
      const s = new Stream();
      const ids = { last: 0 };
      for (const t of before) happen(s, t, shape, ids);
      const mark = s.records.length + 1;
      for (const t of between) happen(s, t, shape, ids);
      const needed = s.checkpoint(mark);
      for (const t of after) happen(s, t, shape, ids);
      assert.deepEqual(plain(foldFrom(s, 1)), plain(s.farm), 'folding again gives the same');
      // Purging happens some time after; whatever was purged below the mark by then, the rest is enough.
      const first = Math.max(1, needed - (far % needed));
      assert.deepEqual(plain(foldFrom(s, first)), { ...plain(s.farm) });
      assert.deepEqual(plain(foldFrom(s, needed)), plain(s.farm));
      assert.deepEqual(plain(s.farm.copy()), plain(s.farm));
    }),
    { numRuns: 300 },
  );
});

test('what is derived agrees with the runs at every moment', () => {
  fc.assert(
    fc.property(anyRun, turns, (shape, happened) => {
      const s = new Stream();
      const ids = { last: 0 };
      for (const t of happened) {
        happen(s, t, shape, ids);
        const due = [...s.farm.runs.values()].filter(
          (r) => !hasEnded(r) && r.cancelAsked && (!r.cancel || (r.cancelAsked.force && !r.cancel.force)),
        );
        assert.deepEqual([...s.farm.cancelAsked].sort(), due.map((r) => r.id).sort());
        const listed = [...s.farm.openByPull.values()].flatMap((set) => [...set]);
        const open = [...s.farm.runs.values()].filter((r) => !hasEnded(r) && r.refs);
        assert.deepEqual(listed.sort(), open.map((r) => r.id).sort());
        assert.ok([...s.farm.openByPull.values()].every((set) => set.size > 0));
      }
    }),
    { numRuns: 200 },
  );
});

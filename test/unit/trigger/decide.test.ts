import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { decide, factsWanted } from '../../../controller/trigger/decide.ts';
import { Refs } from '../../../protocol/change.ts';
import type { Delivery } from '../../../protocol/delivery.ts';
import { Farm, later } from '../../../protocol/farm.ts';
import type { Verdict } from '../../../protocol/record.ts';
import { comment, everyRecorded, farmWith, job, nowMs, periodic, postsubmit, pullRequest, push } from './given.ts';

const jobs = [
  job('unit'),
  job('lint', { trust: 'all' }),
  job('go', { alwaysRun: false, runIfChanged: '\\.go$' }),
  postsubmit('build'),
  postsubmit('docs', { alwaysRun: false, skipIfOnlyChanged: '\\.md$', branches: ['(('] }),
  postsubmit('code', { alwaysRun: false, runIfChanged: '\\.go$' }),
  periodic('nightly'),
  job('deploy', { type: 'manual' }),
];

describe('an event', () => {
  test('ping says that the webhook works', () => {
    const verdict = farmWith(...jobs).github('ping', everyRecorded.find((r) => r.name === 'ping')?.payload);
    assert.equal(verdict.decision, 'nothing');
    assert.match(verdict.reason, /the webhook works/);
  });

  for (const event of ['star', 'issues', 'check_run', '__proto__', 'constructor', 'x'.repeat(5000)]) {
    test(`${event.slice(0, 20)} leads to nothing and is named`, () => {
      const verdict = farmWith(...jobs).github(event, {});
      assert.equal(verdict.decision, 'nothing');
      assert.match(verdict.reason, /^events '.{1,100}' lead to nothing here$/);
      assert.ok(verdict.event.length <= 64);
    });
  }

  test('of every kind that GitHub has recorded is decided, and only pushes and pull requests run', () => {
    for (const { name, payload } of everyRecorded) {
      const verdict = farmWith(...jobs).github(name, payload);
      if (verdict.creates.length > 0) assert.ok(['push', 'pull_request'].includes(name), name);
      assert.notEqual(verdict.decision, 'refused', `${name}: ${verdict.reason}`);
    }
  });

  test('from a source that is not known is refused', () => {
    const verdict = farmWith(...jobs).decide({
      v: 1,
      source: 'mars',
      id: 'x',
      atMs: 1,
      by: 'x',
      event: 'push',
      payload: push(),
    } as never);
    assert.equal(verdict.decision, 'refused');
  });
});

/** A document with some of its values, at any depth, replaced by anything. */
const spoilt = (document: unknown): fc.Arbitrary<unknown> =>
  fc.array(fc.tuple(fc.nat(), fc.option(fc.jsonValue(), { nil: undefined })), { maxLength: 4 }).map((changes) => {
    const copy = { root: structuredClone(document) };
    for (const [where, value] of changes) {
      const places: [object, string][] = [];
      const walk = (node: unknown): void => {
        if (typeof node !== 'object' || node === null) return;
        for (const [key, child] of Object.entries(node)) {
          places.push([node, key]);
          walk(child);
        }
      };
      walk(copy);
      const [owner, key] = places[where % places.length] ?? [copy, 'root'];
      Object.assign(owner, { [key]: value });
    }
    return copy.root;
  });

const request = fc.oneof(
  fc.jsonValue(),
  ...[
    {
      kind: 'run',
      job: 'unit',
      refs: { org: 'o', repo: 'r', baseRef: 'main', pulls: [{ number: 1, author: 'a', sha: 'a'.repeat(40) }] },
    },
    { kind: 'run', job: 'deploy' },
    { kind: 'cancel', run: '1', force: true },
    { kind: 'retry', run: '1' },
    { kind: 'queue', queue: 'q', paused: true },
    { kind: 'agent', agent: 'a1', state: 'cordoned' },
    { kind: 'join', agent: 'a1', publicKey: `U${'A'.repeat(55)}`, curveKey: `X${'A'.repeat(55)}`, queues: ['q'], trust: 'any' },
  ].map(spoilt),
);

const delivery = fc
  .record({
    source: fc.constantFrom('github', 'github', 'github', 'clock', 'person', 'agent'),
    id: fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/),
    by: fc.string(),
    event: fc.oneof({ weight: 5, arbitrary: fc.constantFrom('push', 'pull_request', 'issue_comment', 'ping') }, fc.string()),
    payload: fc.oneof(
      fc.jsonValue(),
      spoilt(push(['a.go'])),
      ...['opened', 'synchronize', 'closed'].map((action) => spoilt(pullRequest({ action }))),
      spoilt(pullRequest({ association: 'MEMBER' })),
      spoilt(comment()),
      spoilt({ job: 'nightly', atMs: 1 }),
    ),
    request,
  })
  .map((d) => ({ v: 1, atMs: nowMs, ...d }) as unknown as Delivery);

describe('whatever is delivered', () => {
  test('decide never throws, its verdict can be stored and is bounded, and run ids are unique and grow', () => {
    let created = 0;
    fc.assert(
      fc.property(fc.array(delivery, { minLength: 1, maxLength: 6 }), (deliveries) => {
        const world = farmWith(...jobs);
        let last = '0';
        for (const each of deliveries) {
          const verdict = world.decide(each);
          bounded(verdict);
          for (const run of verdict.creates) {
            assert.ok(later(run.id, last), `${run.id} after ${last}`);
            last = run.id;
            if (run.refs) assert.ok(Value.Check(Refs, run.refs));
            created += 1;
          }
        }
      }),
      { numRuns: 1_000 },
    );
    assert.ok(created > 100, `only ${created} runs were created, so little was tried`);
  });

  test('facts that make no sense change none of that', () => {
    fc.assert(
      fc.property(delivery, fc.jsonValue(), fc.jsonValue(), (each, run, other) => {
        const farm = new Farm();
        factsWanted(each, farm);
        const facts = { run, delivery: other, spec: undefined } as never;
        bounded(decide({ delivery: each, seq: 1, jobs: { hash: '', jobs }, farm, facts, nowMs }));
      }),
      { numRuns: 500 },
    );
  });

  test('a decision changes neither the farm nor what it was given', () => {
    fc.assert(
      fc.property(delivery, (each) => {
        const world = farmWith(...jobs);
        world.github('pull_request', pullRequest());
        const input = { delivery: each, seq: 2, jobs: { hash: 'h', jobs }, farm: world.farm, facts: {}, nowMs };
        const before = structuredClone({ ...input, farm: { ...world.farm } });
        decide(input);
        assert.deepEqual({ ...input, farm: { ...world.farm } }, before);
      }),
      { numRuns: 200 },
    );
  });

  test('a clock that stands still or steps back still gives growing ids', () => {
    const farm = new Farm();
    farm.lastRunId = '9000000000000000000';
    const each: Delivery = {
      v: 1,
      source: 'github',
      id: 'd',
      atMs: 1,
      by: 'github',
      event: 'pull_request',
      payload: pullRequest({ association: 'OWNER' }),
    };
    const verdict = decide({ delivery: each, seq: 1, jobs: { hash: 'h', jobs }, farm, facts: {}, nowMs });
    assert.deepEqual(
      verdict.creates.map((run) => run.id),
      ['9000000000000000001', '9000000000000000002', '9000000000000000003'],
    );
  });
});

function bounded(verdict: Verdict): void {
  assert.deepEqual(JSON.parse(JSON.stringify(verdict)), verdict);
  assert.ok(verdict.reason.length > 0 && verdict.reason.length <= 1024);
  assert.ok(verdict.by.length <= 255 && verdict.event.length <= 64);
  for (const rule of verdict.rules) assert.ok(rule.why.length > 0 && rule.why.length <= 300);
  assert.equal(verdict.decision === 'runs', verdict.creates.length > 0);
}

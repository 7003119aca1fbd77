import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orders } from '../../../controller/schedule/orders.ts';
import { decide } from '../../../protocol/dag.ts';
import type { AgentState } from '../../../protocol/record.ts';
import { openRun, type Run, type RunEvent } from '../../../protocol/run.ts';
import { agentOf } from '../../support/api.ts';
import { beatWith } from '../../support/beats.ts';
import { newRun } from '../../support/runs.ts';

const after = (run: Run, ...events: RunEvent[]): Run => events.reduce((r, e) => decide(r, e, 2_000).run, run);
const created = openRun(newRun(undefined, { workspace: 'local' }));
const assigned = after(created, { type: 'assigned', step: 'test', attempt: 1, agent: 'a', atMs: 2_000 });
const stopping = after(assigned, { type: 'cancel', by: 'anna', reason: '', force: false, atMs: 3_000 });
const lost = after(assigned, { type: 'attempt', step: 'test', attempt: 1, event: 'expire', atMs: 3_000 });
const passed = after(assigned, { type: 'attempt', step: 'test', attempt: 1, event: 'pass', atMs: 3_000 });
const key = { run: created.id, step: 'test', attempt: 1 };

const runs = (...all: Run[]) => new Map(all.map((r) => [r.id, r]));
const known = (confirmed: Run[], sent = confirmed, state: AgentState = 'serving') => ({
  confirmed: { runs: runs(...confirmed), agents: new Map([['a', agentOf('a', { state })]]) },
  sent: { runs: runs(...sent) },
});
const holding = (isStopping = false) => beatWith({ held: [{ ...key, stopping: isStopping }] });

test('there is nothing to say about an attempt that is the agent’s', () => {
  assert.deepEqual(orders('a', holding(), known([assigned]), 4), {
    orders: { v: 1, type: 'orders', term: 4, cancel: [], revoke: [], forget: [], drain: false },
    urgent: false,
  });
});

test('an attempt that must stop is said until the agent has heard it', () => {
  const said = orders('a', holding(), known([stopping]), 4);
  assert.deepEqual([said.orders.cancel, said.urgent], [[key], true]);
  assert.equal(orders('a', holding(true), known([stopping]), 4).urgent, false);
});

test('a cancel is not said before it is stored', () => {
  assert.deepEqual(orders('a', holding(), known([assigned], [stopping]), 4).orders.cancel, []);
});

test('what is not the agent’s is revoked: lost, ended, unknown, or another’s', () => {
  for (const state of [[lost], [passed], []]) {
    const said = orders('a', holding(true), known(state), 4);
    assert.deepEqual([said.orders.revoke, said.urgent], [[key], true]);
  }
  const others = after(created, { type: 'assigned', step: 'test', attempt: 1, agent: 'b', atMs: 2_000 });
  assert.deepEqual(orders('a', holding(), known([others]), 4).orders.revoke, [key]);
});

test('nothing is revoked while either state says that it is the agent’s', () => {
  assert.deepEqual(orders('a', holding(), known([assigned], [lost]), 4).orders.revoke, [], 'its end is not stored yet');
  assert.deepEqual(orders('a', holding(), known([created], [assigned]), 4).orders.revoke, [], 'its beginning is not folded yet');
});

test('a revoked agent, or one that is not known, keeps nothing', () => {
  assert.deepEqual(orders('a', holding(), known([assigned], [assigned], 'revoked'), 4).orders.revoke, [key]);
  assert.deepEqual(orders('x', holding(), known([assigned]), 4).orders.revoke, [key]);
});

test('an agent that is being drained hears it', () => {
  assert.equal(orders('a', beatWith(), known([], [], 'draining'), 4).orders.drain, true);
  assert.equal(orders('a', beatWith(), known([], [], 'cordoned'), 4).orders.drain, false);
});

test('a workspace is forgotten when its run has ended or is unknown, or went on in another round or on another agent', () => {
  const forgets = (agent: string, name: string, confirmed: Run[], sent = confirmed) =>
    orders(agent, beatWith({ workspaces: [name] }), known(confirmed, sent), 4).orders.forget.length === 1;
  const [first, second] = [`${created.id}.1`, `${created.id}.2`];
  assert.equal(forgets('a', first, [assigned]), false);
  assert.equal(forgets('a', first, [passed]), true);
  assert.equal(forgets('a', first, []), true);
  assert.equal(forgets('a', first, [lost]), true, 'the run is in its second round');
  assert.equal(forgets('a', second, [lost]), false, 'nobody has the second round yet');
  assert.equal(forgets('b', first, [assigned]), true);
  assert.equal(forgets('a', first, [], [assigned]), false, 'it is not stored yet');
  assert.equal(forgets('a', first, [created], [assigned]), false);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VerdictAnswer } from '../../../protocol/api.ts';
import { applyToRun, openRun } from '../../../protocol/run.ts';
import { agentOf, asAdmin, testApi, verdictOf } from '../../support/api.ts';
import { newRun } from '../../support/runs.ts';

const id = '1700000000000000001';
const post = (url: string, payload?: object) => ({ method: 'POST' as const, url, headers: asAdmin, ...(payload && { payload }) });

test('a request for a run is 201 with the runs it led to', async () => {
  const verdict = verdictOf({ decision: 'runs', creates: [newRun()] });
  const { app, asked } = testApi({ answer: () => ({ delivery: 'person/a', verdict, runs: [id] }) });
  const answer = await app.inject(post('/api/runs', { job: 'unit', priority: 'high' }));
  assert.equal(answer.statusCode, 201);
  assert.deepEqual(answer.json<VerdictAnswer>().runs, [id]);
  assert.deepEqual(asked, [{ request: { kind: 'run', job: 'unit', priority: 'high' }, source: 'person', by: 'admin' }]);
  await app.close();
});

test('a request that is stored and not decided is 202 with the address of its delivery', async () => {
  const { app } = testApi({ answer: () => ({ delivery: 'person/a', runs: [] }) });
  const answer = await app.inject(post('/api/runs', { job: 'unit' }));
  assert.equal(answer.statusCode, 202);
  assert.equal(answer.headers.location, '/api/deliveries/person/a');
  await app.close();
});

test('a refused request is 409 with the reason', async () => {
  const verdict = verdictOf({ decision: 'refused', reason: "there is no job 'unti'" });
  const { app } = testApi({ answer: () => ({ delivery: 'person/a', verdict, runs: [] }) });
  const answer = await app.inject(post('/api/runs', { job: 'unti' }));
  assert.equal(answer.statusCode, 409);
  assert.equal(answer.json().error.message, "refused: there is no job 'unti'");
  await app.close();
});

test('cancelling needs no body, and is not asked for a run that nobody knows', async () => {
  const { app, farm, asked } = testApi();
  farm.runs.set(id, openRun(newRun()));
  farm.lastRunId = id;
  assert.equal((await app.inject(post(`/api/runs/${id}/cancel`))).statusCode, 200);
  assert.equal((await app.inject(post(`/api/runs/${id}/cancel`, { force: true, reason: 'stuck' }))).statusCode, 200);
  assert.equal((await app.inject(post('/api/runs/17/cancel'))).statusCode, 404);
  assert.deepEqual(
    asked.map((a) => a.request),
    [
      { kind: 'cancel', run: id, force: false },
      { kind: 'cancel', run: id, force: true, reason: 'stuck' },
    ],
  );
  await app.close();
});

test('a run newer than all that this replica knows is asked about all the same', async () => {
  const { app, farm, asked } = testApi();
  farm.lastRunId = id;
  assert.equal((await app.inject(post('/api/runs/1700000000000000002/retry'))).statusCode, 200);
  assert.equal(asked.length, 1);
  await app.close();
});

test('a run is found in the state first, then in the index', async () => {
  const archived = { ...openRun(newRun(undefined, { id: '17' })), archived: true };
  const { app, farm } = testApi({
    index: { runs: () => [], run: (i) => (i === '17' ? archived : undefined), deliveries: () => [], delivery: () => undefined },
  });
  farm.runs.set(id, openRun(newRun()));
  const get = async (run: string) => (await app.inject({ url: `/api/runs/${run}`, headers: asAdmin })).json();
  assert.equal((await get(id)).archived, false);
  assert.equal((await get('17')).archived, true);
  await app.close();
});

test('a queue is paused, an agent cordoned, under the name of who asks', async () => {
  const { app, farm, asked } = testApi();
  farm.agents.set('node-1', agentOf('node-1'));
  await app.inject(post('/api/queues/gpu', { paused: true, reason: 'driver' }));
  await app.inject(post('/api/agents/node-1', { state: 'cordoned' }));
  assert.equal((await app.inject(post('/api/agents/node-9', { state: 'cordoned' }))).statusCode, 404);
  assert.deepEqual(asked, [
    { request: { kind: 'queue', queue: 'gpu', paused: true, reason: 'driver' }, source: 'person', by: 'admin' },
    { request: { kind: 'agent', agent: 'node-1', state: 'cordoned' }, source: 'person', by: 'admin' },
  ]);
  await app.close();
});

test('agents are shown with what they have in hand, without their keys', async () => {
  const { app, farm } = testApi();
  farm.agents.set('node-1', agentOf('node-1'));
  farm.runs.set(id, applyToRun(openRun(newRun()), { type: 'assigned', step: 'test', attempt: 1, agent: 'node-1', atMs: 5_000 }));
  const [agent] = (await app.inject({ url: '/api/agents', headers: asAdmin })).json().agents;
  assert.deepEqual(agent.running, [{ run: id, step: 'test', attempt: 1, sinceMs: 5_000 }]);
  assert.equal(agent.publicKey, undefined);
  assert.equal(agent.curveKey, undefined);
  await app.close();
});

test('a join token that is made here opens joining, with its queues and trust, until it is over', async () => {
  let wallMs = 1_000_000;
  const { app } = testApi({ wallMs: () => wallMs });
  const { token, expiresAtMs } = (
    await app.inject(post('/api/agents/tokens', { queues: ['gpu'], trust: 'trusted', ttlMs: 60_000 }))
  ).json();
  assert.equal(expiresAtMs, 1_060_000);
  const join = () =>
    app.inject({ method: 'POST', url: '/api/agents/join', payload: {}, headers: { authorization: `Bearer ${token}` } });
  assert.equal((await join()).statusCode, 400);
  wallMs = expiresAtMs;
  assert.equal((await join()).statusCode, 401);
  await app.close();
});

test('the farm tells who leads, what is open and how far this replica is', async () => {
  const { app, farm } = testApi();
  farm.fold({ v: 1, term: 3, atMs: 1, type: 'leader', id: 'a', url: 'http://a' }, 9);
  farm.runs.set(id, openRun(newRun()));
  const answer = (await app.inject({ url: '/api/farm', headers: asAdmin })).json();
  assert.deepEqual(answer.leader, { id: 'a', url: 'http://a', term: 3 });
  assert.deepEqual(answer.replica, { id: 'replica-1', seq: 9, leads: true });
  assert.equal(answer.openRuns, 1);
  await app.close();
});

test('deliveries are listed and found by source and id', async () => {
  const one = { source: 'github', id: 'g-1', atMs: 1, verdict: verdictOf() };
  const queries: unknown[] = [];
  const { app } = testApi({
    index: {
      runs: () => [],
      run: () => undefined,
      deliveries: (q) => {
        queries.push(q);
        return [one];
      },
      delivery: (source, i) => (source === 'github' && i === 'g-1' ? one : undefined),
    },
  });
  const get = (url: string) => app.inject({ url, headers: asAdmin });
  assert.deepEqual((await get('/api/deliveries?before=github/g-2&limit=5')).json(), { deliveries: [one] });
  assert.deepEqual(queries, [{ before: 'github/g-2', limit: 5 }]);
  assert.deepEqual((await get('/api/deliveries/github/g-1')).json(), one);
  assert.equal((await get('/api/deliveries/person/g-1')).statusCode, 404);
  await app.close();
});

test('a log is sent as text, from the offset that is asked for', async () => {
  const { app } = testApi();
  const answer = await app.inject({ url: '/api/runs/17/steps/test/log?offset=10', headers: asAdmin });
  assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
  assert.deepEqual(answer.json(), { run: '17', step: 'test', offset: 10, follow: false });
  await app.close();
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakeFarm, fakeFarm, nowMs, runId, thresh } from './harness.ts';

const verdict = { decision: 'done', reason: '', event: 'cancel', by: 'ada', rules: [], creates: [], cancels: [], changes: [] };
const done = { status: 201, body: { delivery: 'person/d1', verdict, runs: [] } };
const lastBody = (farm: FakeFarm): unknown => JSON.parse(farm.asked.at(-1)?.body ?? 'null');

test('cancel sends the reason, and force only when it is asked for', async () => {
  await using farm = await fakeFarm();
  farm.on(`POST /api/runs/${runId}/cancel`, done);
  const { code, out } = await thresh(['cancel', runId, '--reason', 'wrong branch', '--url', farm.url]);
  assert.deepEqual([code, out], [0, `run ${runId} is asked to stop\n`]);
  assert.deepEqual(lastBody(farm), { reason: 'wrong branch' });
  await thresh(['cancel', runId, '--force', '--url', farm.url]);
  assert.deepEqual(lastBody(farm), { force: true });
});

test('retry prints the id of the new run', async () => {
  await using farm = await fakeFarm();
  const answer = { delivery: 'person/d1', verdict: { ...verdict, decision: 'runs' }, runs: ['1905522071432466999'] };
  farm.on(`POST /api/runs/${runId}/retry`, { status: 201, body: answer });
  assert.match((await thresh(['retry', runId, '--url', farm.url])).out, /^run 1905522071432466999, a retry of /);
  assert.deepEqual(JSON.parse((await thresh(['retry', runId, '--json', '--url', farm.url])).out), answer);
});

test('a request that the farm refuses ends with 4 and its reason', async () => {
  await using farm = await fakeFarm();
  const refused = { ...verdict, decision: 'refused', reason: 'the run has ended' };
  farm.on(`POST /api/runs/${runId}/cancel`, { status: 201, body: { delivery: 'person/d1', verdict: refused, runs: [] } });
  const { code, out, err } = await thresh(['cancel', runId, '--url', farm.url]);
  assert.deepEqual([code, out, err], [4, '', 'thresh: the run has ended\n']);
});

test('a request that is stored and not yet decided is no error, and says where to look', async () => {
  await using farm = await fakeFarm();
  farm.on(`POST /api/runs/${runId}/cancel`, { status: 202, body: { delivery: 'person/d1', runs: [] } });
  const { code, out } = await thresh(['cancel', runId, '--url', farm.url]);
  assert.equal(code, 0);
  assert.match(out, /no decision yet: 'thresh deliveries person\/d1' shows it/);
});

test('queues are paused and resumed, wherever the options stand', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/queues/gpu', done);
  const paused = await thresh(['queues', 'pause', 'gpu', '--reason', 'driver', '--url', farm.url]);
  assert.match(paused.out, /queue 'gpu' is paused/);
  assert.deepEqual(lastBody(farm), { paused: true, reason: 'driver' });
  const resumed = await thresh(['queues', '--url', farm.url, 'resume', 'gpu', '--json']);
  assert.deepEqual(JSON.parse(resumed.out), done.body);
  assert.deepEqual(lastBody(farm), { paused: false });
});

test('drain, its undoing and revoke set the state of an agent', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/agents/node-7', done);
  const states = [];
  for (const args of [['drain'], ['drain', '--undo'], ['revoke', '--reason', 'stolen']]) {
    assert.equal((await thresh([...args, 'node-7', '--url', farm.url])).code, 0);
    states.push(lastBody(farm));
  }
  assert.deepEqual(states, [{ state: 'draining' }, { state: 'serving' }, { state: 'revoked', reason: 'stolen' }]);
});

test('a login link stands alone on standard output', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/login-links', { body: { code: 'c0de', expiresAtMs: nowMs + 600_000 } });
  const { out, err } = await thresh(['login', '--url', farm.url]);
  assert.equal(out, `${farm.url}/login#c0de\n`);
  assert.match(err, /works once, within 10m 00s/);
});

test('a join token stands alone on standard output', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /api/agents/tokens', { status: 201, body: { token: 'abc.def', expiresAtMs: nowMs + 86_400_000 } });
  const args = ['agents', 'token', '--queues', 'default,gpu,gpu', '--trust', 'any', '--ttl', '24h', '--url', farm.url];
  const { out, err } = await thresh(args);
  assert.equal(out, 'abc.def\n');
  assert.match(err, /lasts 1d 00h/);
  assert.deepEqual(lastBody(farm), { queues: ['default', 'gpu'], trust: 'any', ttlMs: 86_400_000 });
  await thresh(['agents', 'token', '--url', farm.url]);
  assert.deepEqual(lastBody(farm), { queues: ['default'], trust: 'trusted', ttlMs: 3_600_000 });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InjectOptions } from 'fastify';
import { openRun } from '../../../protocol/run.ts';
import { adminToken, agentOf, asAdmin, testApi } from '../../support/api.ts';
import { newRun } from '../../support/runs.ts';

const runId = '1700000000000000001';
const joinBody = {
  name: 'node-1',
  publicKey: `U${'A'.repeat(55)}`,
  curveKey: `X${'A'.repeat(55)}`,
  executor: 'process',
  host: 'node-1',
  version: '0.1.0',
  protocol: { min: 1, max: 1 },
};

/** Every route, a request that it would carry out, and whose token it takes. */
const routes: { method: 'GET' | 'POST'; url: string; payload?: object; token: 'admin' | 'join' | 'agent' | 'nobody' }[] = [
  { method: 'POST', url: '/api/runs', payload: { job: 'unit' }, token: 'admin' },
  { method: 'GET', url: '/api/runs', token: 'admin' },
  { method: 'POST', url: '/api/uploads', payload: {}, token: 'admin' },
  { method: 'GET', url: `/api/runs/${runId}`, token: 'admin' },
  { method: 'GET', url: `/api/runs/${runId}/waiting`, token: 'admin' },
  { method: 'POST', url: `/api/runs/${runId}/cancel`, payload: {}, token: 'admin' },
  { method: 'POST', url: `/api/runs/${runId}/retry`, token: 'admin' },
  { method: 'GET', url: `/api/runs/${runId}/steps/test/log`, token: 'admin' },
  { method: 'GET', url: `/api/runs/${runId}/artifacts`, token: 'admin' },
  { method: 'GET', url: `/api/runs/${runId}/artifacts/test/out.txt`, token: 'admin' },
  { method: 'GET', url: `/api/runs/${runId}/junit`, token: 'admin' },
  { method: 'GET', url: '/api/queues', token: 'admin' },
  { method: 'POST', url: '/api/queues/default', payload: { paused: true }, token: 'admin' },
  { method: 'GET', url: '/api/agents', token: 'admin' },
  { method: 'POST', url: '/api/agents/node-1', payload: { state: 'cordoned' }, token: 'admin' },
  { method: 'POST', url: '/api/agents/tokens', payload: { queues: ['default'], trust: 'any' }, token: 'admin' },
  { method: 'POST', url: '/api/agents/join', payload: joinBody, token: 'join' },
  { method: 'GET', url: '/api/agents/node-1/logs', token: 'agent' },
  { method: 'GET', url: '/api/deliveries', token: 'admin' },
  { method: 'GET', url: '/api/deliveries/github/1', token: 'admin' },
  { method: 'GET', url: '/api/farm', token: 'admin' },
  { method: 'GET', url: '/api/checks', token: 'admin' },
  { method: 'GET', url: '/api/events', token: 'admin' },
  { method: 'GET', url: `/api/runs/${runId}/events`, token: 'admin' },
  { method: 'POST', url: '/api/login-links', token: 'admin' },
  { method: 'GET', url: '/api/session', token: 'admin' },
  ...['/', '/login', '/runs', `/runs/${runId}`, '/queues', '/agents', '/deliveries', '/deliveries/github/1'].map((url) => ({
    ...{ method: 'GET' as const, url, token: 'nobody' as const },
  })),
  { method: 'POST', url: '/login', payload: { token: adminToken }, token: 'nobody' },
  { method: 'POST', url: '/logout', token: 'nobody' },
  { method: 'GET', url: '/healthz', token: 'nobody' },
  { method: 'GET', url: '/readyz', token: 'nobody' },
];

function farmWithARun() {
  const api = testApi();
  api.farm.agents.set('node-1', agentOf('node-1'));
  api.farm.runs.set(runId, openRun(newRun()));
  const { keys } = api.deps;
  const tokens = {
    none: undefined,
    wrong: 'x'.repeat(adminToken.length),
    join: keys.joinToken({ queues: ['default'], trust: 'any', expiresAtMs: Date.now() + 60_000 }),
    agent: keys.agentToken('node-1'),
    attempt: keys.attemptToken('node-1', { run: runId, step: 'test', attempt: 1 }),
    admin: adminToken,
  };
  return { ...api, tokens };
}

for (const { token: wanted, ...route } of routes)
  test(`${route.method} ${route.url} takes ${wanted === 'nobody' ? 'anybody' : `the ${wanted} token and no other`}`, async () => {
    const { app, tokens, asked } = farmWithARun();
    for (const [kind, token] of Object.entries(tokens)) {
      const before = asked.length;
      const { statusCode } = await app.inject({ ...route, headers: token ? { authorization: `Bearer ${token}` } : {} });
      if (wanted === 'nobody' || kind === wanted) assert.notEqual(statusCode, 401, `refused ${kind}`);
      else {
        assert.equal(statusCode, 401, `took ${kind}`);
        assert.equal(asked.length, before, `asked something for ${kind}`);
      }
    }
    await app.close();
  });

test('the table above lists every route that the server has', async () => {
  const { app } = testApi();
  const served = new Set<string>();
  app.addHook('onRoute', ({ method, url }) => {
    for (const m of [method].flat()) if (m !== 'HEAD') served.add(`${m} ${url}`);
  });
  await app.ready();
  for (const { method, url } of routes) {
    const found = app.findRoute({ method, url: patternOf(url) });
    assert.ok(found, `${method} ${url}`);
    served.delete(`${method} ${patternOf(url)}`);
  }
  assert.deepEqual([...served], []);
  await app.close();
});

const patternOf = (url: string): string =>
  url
    .replace(/(\/artifacts\/).+$/, '$1*')
    .replace(`runs/${runId}`, 'runs/:run')
    .replace('steps/test', 'steps/:step')
    .replace('queues/default', 'queues/:queue')
    .replace('agents/node-1', 'agents/:agent')
    .replace('github/1', ':source/:id');

test('what is not there under /api is told to nobody without a login', async () => {
  const { app } = testApi();
  assert.equal((await app.inject('/api/nothing')).statusCode, 401);
  assert.equal((await app.inject({ url: '/api/nothing', headers: asAdmin })).statusCode, 404);
  await app.close();
});

test("an agent's token opens its own log only", async () => {
  const { app, farm, tokens } = farmWithARun();
  farm.agents.set('node-2', agentOf('node-2'));
  const headers = { authorization: `Bearer ${tokens.agent}` };
  assert.equal((await app.inject({ url: '/api/agents/node-2/logs', headers })).statusCode, 401);
  farm.agents.set('node-1', agentOf('node-1', { state: 'revoked' }));
  assert.equal((await app.inject({ url: '/api/agents/node-1/logs', headers })).statusCode, 403);
  farm.agents.delete('node-1');
  assert.equal((await app.inject({ url: '/api/agents/node-1/logs', headers })).statusCode, 503);
  await app.close();
});

test('a join token that is over opens nothing', async () => {
  const { app, deps } = farmWithARun();
  const token = deps.keys.joinToken({ queues: ['default'], trust: 'any', expiresAtMs: Date.now() - 1 });
  const answer = await app.inject({
    method: 'POST',
    url: '/api/agents/join',
    payload: joinBody,
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(answer.statusCode, 401);
  await app.close();
});

test('wrong logins are answered 429 after the tenth, one more each six seconds, and never lock out who has the token', async () => {
  let nowMs = 0;
  const { app } = testApi({ now: () => nowMs });
  const from = (headers: InjectOptions['headers'], remoteAddress = '192.0.2.1') =>
    app.inject({ url: '/api/farm', remoteAddress, ...(headers && { headers }) });
  const wrong = { authorization: 'Bearer wrong' };
  for (let i = 0; i < 10; i += 1) assert.equal((await from(wrong)).statusCode, 401);
  const refused = await from(wrong);
  assert.equal(refused.statusCode, 429);
  assert.equal(refused.headers['retry-after'], '6');
  assert.equal((await from(wrong, '192.0.2.2')).statusCode, 401);
  assert.equal((await from(asAdmin)).statusCode, 200);
  nowMs = 6_000;
  assert.equal((await from(wrong)).statusCode, 401);
  assert.equal((await from(wrong)).statusCode, 429);
  await app.close();
});

test('an admin token that could be guessed is refused at start', () => {
  assert.throws(() => testApi({ adminToken: 'secret' }), /at least 32 characters/);
});

test('a token in the query opens nothing, and neither it nor the header reaches the log', async () => {
  const { app, logged } = testApi();
  assert.equal((await app.inject(`/api/farm?token=${adminToken}`)).statusCode, 401);
  assert.equal((await app.inject({ url: '/api/farm', headers: asAdmin })).statusCode, 200);
  assert.equal(logged.filter((l) => l.msg === 'answered').length, 2);
  assert.ok(!JSON.stringify(logged).includes(adminToken));
  await app.close();
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { WebSocket } from 'ws';
import { ApiError } from '../../../protocol/api.ts';
import { FarmError } from '../../../protocol/errors.ts';
import { agentOf, asAdmin, testApi } from '../../support/api.ts';

const farm = { url: '/api/farm', headers: asAdmin };

for (const [host, status] of [
  ['localhost', 200],
  ['127.0.0.1:8080', 200],
  ['[::1]:8080', 200],
  ['LOCALHOST:1', 200],
  ['farm.example.com', 200],
  ['farm.example.com:8443', 200],
  ['ci.example.com:8443', 200],
  ['ci.example.com', 403],
  ['attacker.example', 403],
  ['localhost.attacker.example', 403],
] as const)
  test(`a request to host '${host}' is answered with ${status}`, async () => {
    const { app } = testApi({ hosts: ['farm.example.com', 'ci.example.com:8443'] });
    assert.equal((await app.inject({ ...farm, headers: { ...asAdmin, host } })).statusCode, status);
    assert.equal((await app.inject({ url: '/healthz', headers: { host } })).statusCode, 200);
    await app.close();
  });

for (const [origin, status] of [
  ['http://farm.example.com', 200],
  ['https://farm.example.com', 200],
  ['https://farm.example.com:443', 200],
  ['https://farm.example.com:8443', 403],
  ['https://other.example.com', 403],
  ['null', 403],
  ['rubbish', 403],
] as const)
  test(`a page of ${origin} that asks farm.example.com gets ${status}`, async () => {
    const { app } = testApi({ hosts: ['farm.example.com'] });
    const answer = await app.inject({ ...farm, headers: { ...asAdmin, host: 'farm.example.com', origin } });
    assert.equal(answer.statusCode, status);
    assert.equal(answer.headers['access-control-allow-origin'], undefined);
    await app.close();
  });

for (const [what, request, status, code] of [
  ['a path that nobody has', { url: '/nothing' }, 404, 'NOT_FOUND'],
  ['a path under /api that nobody has', { url: '/api/nothing', headers: asAdmin }, 404, 'NOT_FOUND'],
  ['another method', { method: 'DELETE', url: '/api/runs/1', headers: asAdmin }, 405, 'METHOD_NOT_ALLOWED'],
  ['a path that cannot be decoded', { url: '/api/runs/%zz', headers: asAdmin }, 400, 'BAD_REQUEST'],
  ['a run id that is none', { url: '/api/runs/abc', headers: asAdmin }, 400, 'BAD_REQUEST'],
  ['a run that is not there', { url: '/api/runs/17', headers: asAdmin }, 404, 'NOT_FOUND'],
  ['no job', { method: 'POST', url: '/api/runs', payload: {}, headers: asAdmin }, 400, 'BAD_REQUEST'],
  [
    'a body that is not JSON',
    { method: 'POST', url: '/api/runs', payload: '{', headers: { ...asAdmin, 'content-type': 'application/json' } },
    400,
    'BAD_REQUEST',
  ],
  [
    'another content type',
    { method: 'POST', url: '/api/runs', payload: 'job=unit', headers: { ...asAdmin, 'content-type': 'text/plain' } },
    415,
    'BAD_CONTENT_TYPE',
  ],
  [
    'a body over the limit',
    { method: 'POST', url: '/api/runs', payload: { job: 'x'.repeat(300_000) }, headers: asAdmin },
    413,
    'BODY_TOO_LARGE',
  ],
  ['a query that is not known', { url: '/api/runs?colour=red', headers: asAdmin }, 400, 'BAD_REQUEST'],
  ['a limit beyond the limit', { url: '/api/runs?limit=1000000', headers: asAdmin }, 400, 'BAD_REQUEST'],
  ['a source that is none', { url: '/api/deliveries/mail/1', headers: asAdmin }, 400, 'BAD_REQUEST'],
] as const)
  test(`${what} is answered with ${status} and an ApiError`, async () => {
    const { app, asked } = testApi();
    const answer = await app.inject(request as never);
    assert.equal(answer.statusCode, status, answer.body);
    assert.equal(Value.Parse(ApiError, answer.json()).error.code, code);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    assert.deepEqual(asked, []);
    await app.close();
  });

test('405 says which methods are possible', async () => {
  const { app } = testApi();
  const answer = await app.inject({ method: 'PUT', url: '/api/runs?x=1', headers: asAdmin });
  assert.equal(answer.headers.allow, 'GET, HEAD, POST');
  await app.close();
});

test('what is wrong with a body is said with its place', async () => {
  const { app } = testApi();
  const say = async (payload: object, url = '/api/runs') =>
    (await app.inject({ method: 'POST', url, payload, headers: asAdmin })).json().error.message;
  assert.equal(await say({ job: 'unit', priority: 'urgent' }), 'body/priority: expected "high" or "normal" or "low"');
  assert.equal(await say({ job: 'unit', colour: 'red' }), 'body/colour: is not known here');
  assert.match(
    await say({ job: 'unit', refs: { org: 'o', repo: 'r', baseRef: 'main', pulls: [{ number: 1 }] } }),
    /^body\/refs\/pulls\/0: /,
  );
  assert.match(await say({ paused: 'true' }, '/api/queues/gpu'), /^body\/paused: must be boolean/);
  await app.close();
});

test('a fault of ours is logged, and the caller learns only that there was one', async () => {
  const { app, logged } = testApi({
    ask: async () => {
      throw new Error('password is 1234');
    },
  });
  const answer = await app.inject({ method: 'POST', url: '/api/runs', payload: { job: 'unit' }, headers: asAdmin });
  assert.equal(answer.statusCode, 500);
  assert.equal(answer.json().error.code, 'INTERNAL');
  assert.ok(!answer.body.includes('1234'));
  assert.equal(logged.filter((l) => l.msg === 'request failed' && l.level === 50).length, 1);
  await app.close();
});

test('when nothing can be stored the caller is told when to come back', async () => {
  const { app } = testApi({
    ask: async () => {
      throw new FarmError('UNAVAILABLE', { detail: 'NATS is away', afterS: 7 });
    },
  });
  const answer = await app.inject({ method: 'POST', url: '/api/runs', payload: { job: 'unit' }, headers: asAdmin });
  assert.equal(answer.statusCode, 503);
  assert.equal(answer.headers['retry-after'], '7');
  await app.close();
});

test('readyz is 503 with the reason until the state is caught up; healthz is 200 all the while', async () => {
  let state: { ok: true } | { ok: false; why: string } = { ok: false, why: 'reading RUNS' };
  const { app } = testApi({ ready: () => state });
  const answer = await app.inject('/readyz');
  assert.equal(answer.statusCode, 503);
  assert.match(answer.json().error.message, /reading RUNS/);
  assert.equal((await app.inject('/healthz')).statusCode, 200);
  state = { ok: true };
  assert.equal((await app.inject('/readyz')).statusCode, 200);
  await app.close();
});

/** A listening server, and WebSockets to it. */
async function listening(over: Parameters<typeof testApi>[0] = {}) {
  const api = testApi(over);
  const url = await api.app.listen({ port: 0, host: '127.0.0.1' });
  api.farm.agents.set('node-1', agentOf('node-1'));
  const asAgent = { authorization: `Bearer ${api.deps.keys.agentToken('node-1')}` };
  return {
    ...api,
    url,
    asAgent,
    open: (path: string, headers: Record<string, string>) => new WebSocket(url.replace('http', 'ws') + path, { headers }),
  };
}

/** The status with which an upgrade was refused. */
async function refusal(socket: WebSocket): Promise<number | undefined> {
  const [request, response] = await once(socket, 'unexpected-response');
  response.resume();
  await once(response, 'end');
  request.destroy();
  return response.statusCode;
}

const log = '/api/runs/17/steps/test/log';

test('a viewer gets a WebSocket with the admin token only, and only from pages of this host', async () => {
  const { app, open, asAgent } = await listening();
  assert.equal(await refusal(open(log, {})), 401);
  assert.equal(await refusal(open(log, asAgent)), 401);
  assert.equal(await refusal(open(log, { ...asAdmin, origin: 'https://attacker.example' })), 403);
  assert.equal(await refusal(open(log, { ...asAdmin, host: 'attacker.example' })), 403);
  assert.equal(await refusal(open('/api/nothing', asAdmin)), 404);
  const socket = open(`${log}?attempt=2&offset=100&follow=1`, asAdmin);
  const [message] = await once(socket, 'message');
  assert.deepEqual(JSON.parse(String(message)), { run: '17', step: 'test', attempt: 2, offset: 100, follow: true });
  socket.terminate();
  await app.close();
});

test("an agent's socket takes its own token, not the admin's", async () => {
  const { app, open, asAgent } = await listening();
  assert.equal(await refusal(open('/api/agents/node-1/logs', asAdmin)), 401);
  const [message] = await once(open('/api/agents/node-1/logs', asAgent), 'message');
  assert.equal(String(message), 'ingest node-1');
  await app.close();
});

test('a stopping server says 1001 to its WebSockets, and ends a log that is being followed', async () => {
  const endless = new PassThrough();
  const { app, open, asAgent, url } = await listening({ logs: { ingest: () => {}, view: () => {}, read: async () => endless } });
  const socket = open('/api/agents/node-1/logs', asAgent);
  await once(socket, 'open');
  const following = fetch(`${url}${log}?follow=1`, { headers: asAdmin });
  endless.write('first line\n');
  const reading = (await following).text();
  const [[code]] = await Promise.all([once(socket, 'close'), app.close(), assert.rejects(reading)]);
  assert.equal(code, 1001);
});

test('a message that is too big or malformed closes its socket and nothing else', async () => {
  const { app, open, asAgent } = await listening();
  const socket = open('/api/agents/node-1/logs', asAgent);
  await once(socket, 'open');
  socket.send(Buffer.alloc(300 * 1024));
  const [code] = await once(socket, 'close');
  assert.ok(code === 1009 || code === 1006, String(code));
  assert.equal((await app.inject('/healthz')).statusCode, 200);
  await app.close();
});

for (const [what, bytes, status] of [
  ['what is not HTTP', 'rubbish\r\n\r\n', 400],
  ['headers without end', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  [
    'an upgrade to something unknown',
    'POST /api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}',
    401,
  ],
] as const)
  test(`${what} gets ${status} and the connection is closed`, async () => {
    const { app, url } = await listening();
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(bytes);
    const answer = await text(socket);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
    Value.Parse(ApiError, JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)));
    await app.close();
  });

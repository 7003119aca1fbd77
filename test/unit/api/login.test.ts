import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InjectOptions } from 'fastify';
import { loginCodes } from '../../../controller/api/login-codes.ts';
import type { LoginLink, Session } from '../../../protocol/session.ts';
import { adminToken, asAdmin, type TestApi, testApi } from '../../support/api.ts';

const origin = { host: 'localhost', origin: 'http://localhost' };
const logIn = (api: TestApi, headers: Record<string, string> = origin, payload: object = { token: adminToken }) =>
  api.app.inject({ method: 'POST', url: '/login', payload, headers });

/** A logged-in browser: what it says with each request. */
async function browserOf(api: TestApi) {
  const answer = await logIn(api);
  assert.equal(answer.statusCode, 200);
  const [cookie] = answer.cookies;
  const say = (request: InjectOptions, headers: Record<string, string> = {}) =>
    api.app.inject({
      ...request,
      headers: { host: 'localhost', 'sec-fetch-site': 'same-origin', cookie: `${cookie?.name}=${cookie?.value}`, ...headers },
    });
  return { say, cookie, session: answer.json<Session>() };
}

test('a login opens the API for twelve hours, and says so', async () => {
  let wallMs = 1_000_000;
  const api = testApi({ wallMs: () => wallMs });
  const { say, session } = await browserOf(api);
  assert.deepEqual(session, { by: 'admin', expiresAtMs: wallMs + 12 * 3_600_000 });
  assert.deepEqual((await say({ url: '/api/session' })).json(), session);
  wallMs += 12 * 3_600_000;
  assert.equal((await say({ url: '/api/session' })).statusCode, 401);
  await api.app.close();
});

test('the cookie is for this farm, for HTTP and for its own pages only; over TLS it never goes in the clear', async () => {
  const api = testApi();
  const { cookie } = await browserOf(api);
  assert.match(cookie?.name ?? '', /^thresh_[A-Za-z0-9]{8}$/);
  assert.deepEqual([cookie?.httpOnly, cookie?.sameSite, cookie?.path, cookie?.secure], [true, 'Strict', '/', undefined]);
  const [secure] = (await logIn(api, { host: 'localhost', origin: 'https://localhost' })).cookies;
  assert.equal(secure?.secure, true);
  await api.app.close();
});

test('a wrong token, a forged cookie and one of another farm open nothing', async () => {
  const api = testApi();
  const answer = await logIn(api, origin, { token: 'x'.repeat(40) });
  assert.equal(answer.statusCode, 401);
  assert.deepEqual(answer.cookies, []);
  const name = api.deps.keys.sessionCookie;
  const body = Buffer.from(JSON.stringify({ id: '1', by: 'admin', expiresAtMs: Date.now() + 60_000 })).toString('base64url');
  const join = api.deps.keys.joinToken({ queues: ['default'], trust: 'any', expiresAtMs: Date.now() + 60_000 });
  for (const value of ['', 'x', `${body}.`, `${body}.${'A'.repeat(43)}`, join, adminToken]) {
    const { statusCode } = await api.app.inject({ url: '/api/farm', headers: { host: 'localhost', cookie: `${name}=${value}` } });
    assert.equal(statusCode, 401, value);
  }
  await api.app.close();
});

test('a cookie counts from pages of this farm only, and to change something the page has to say where it is from', async () => {
  const api = testApi();
  const { say } = await browserOf(api);
  const run: InjectOptions = { method: 'POST', url: '/api/runs', payload: { job: 'unit' } };
  for (const site of ['same-site', 'cross-site']) {
    assert.equal((await say({ url: '/api/runs' }, { 'sec-fetch-site': site })).statusCode, 401, site);
    assert.equal((await say(run, { 'sec-fetch-site': site, origin: 'http://localhost' })).statusCode, 401, site);
  }
  assert.equal((await say(run)).statusCode, 401);
  assert.equal((await say(run, { origin: 'http://localhost:8000' })).statusCode, 403);
  assert.equal((await say(run, { origin: 'null' })).statusCode, 403);
  assert.equal(api.asked.length, 0);
  assert.equal((await say(run, { origin: 'http://localhost' })).statusCode, 200);
  assert.equal(api.asked.at(-1)?.by, 'admin');
  assert.equal((await say({ url: '/api/runs' }, { 'sec-fetch-site': 'none' })).statusCode, 200);
  await api.app.close();
});

test('a cookie opens no WebSocket for who does not say where it is from', async () => {
  const api = testApi();
  const { cookie } = await browserOf(api);
  const headers = { host: 'localhost', cookie: `${cookie?.name}=${cookie?.value}` };
  await api.app.ready();
  await assert.rejects(api.app.injectWS('/api/events', { headers }), /401/);
  await assert.rejects(api.app.injectWS('/api/events', { headers: { ...headers, origin: 'http://localhost:1' } }), /403/);
  const socket = await api.app.injectWS('/api/events', { headers: { ...headers, origin: 'http://localhost' } });
  socket.terminate();
  await api.app.close();
});

test('after the logout the cookie is worth nothing, also not a copy of it', async () => {
  const api = testApi();
  const { say } = await browserOf(api);
  const other = await browserOf(api);
  const out = await say({ method: 'POST', url: '/logout' }, { origin: 'http://localhost' });
  assert.equal(out.statusCode, 204);
  assert.equal(out.cookies[0]?.value, '');
  assert.equal((await say({ url: '/api/farm' })).statusCode, 401);
  assert.equal((await other.say({ url: '/api/farm' })).statusCode, 200);
  await api.app.close();
});

test('another page cannot log a person out', async () => {
  const api = testApi();
  const { say } = await browserOf(api);
  await say({ method: 'POST', url: '/logout' }, { 'sec-fetch-site': 'same-site' });
  assert.equal((await say({ url: '/api/farm' })).statusCode, 200);
  await api.app.close();
});

test('a login link works once, for ten minutes', async () => {
  let wallMs = 0;
  const api = testApi({ wallMs: () => wallMs, loginCodes: loginCodes(() => wallMs) });
  const link = async () =>
    (await api.app.inject({ method: 'POST', url: '/api/login-links', headers: asAdmin })).json<LoginLink>();
  const use = async (code: string) => (await logIn(api, origin, { code })).statusCode;
  const { code, expiresAtMs } = await link();
  assert.equal(expiresAtMs, 600_000);
  assert.equal(await use(`${code}x`), 401);
  assert.equal(await use(code), 200);
  assert.equal(await use(code), 401);
  const late = await link();
  wallMs = 600_000;
  assert.equal(await use(late.code), 401);
  await api.app.close();
});

test('guessing tokens and codes is answered 429 after the tenth, and the right one still passes', async () => {
  const api = testApi({ now: () => 0 });
  for (let i = 0; i < 10; i += 1)
    assert.equal((await logIn(api, origin, i % 2 ? { token: 'no' } : { code: 'no' })).statusCode, 401);
  assert.equal((await logIn(api, origin, { token: 'no' })).statusCode, 429);
  assert.equal((await logIn(api)).statusCode, 200);
  assert.ok(!JSON.stringify(api.logged).includes(adminToken));
  await api.app.close();
});

test('who asks without any login is told so as often as it asks: a page does', async () => {
  const api = testApi({ now: () => 0 });
  for (let i = 0; i < 20; i += 1) assert.equal((await api.app.inject('/api/session')).statusCode, 401);
  await api.app.close();
});

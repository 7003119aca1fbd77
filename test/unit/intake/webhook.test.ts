import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { maxHookBytes, webhook } from '../../../controller/intake/webhook.ts';
import { ApiError, type HookAnswer } from '../../../protocol/api.ts';
import { Delivery } from '../../../protocol/delivery.ts';
import { FarmError } from '../../../protocol/errors.ts';
import { testApi } from '../../support/api.ts';
import { type Hook, hookOf, recorded, send, sign } from '../../support/webhooks.ts';

const secret = 'one of the secrets';
const payload = { action: 'opened', sender: { login: 'anna' } };
const good = hookOf('pull_request', payload, { secret, delivery: '72d3162e-cc78-11e3-81ab-4c9367dc0958' });

function hooks({
  secrets = [secret],
  hosts = [] as string[],
  fail,
}: {
  secrets?: string[];
  hosts?: string[];
  fail?: FarmError;
} = {}) {
  const { app, logged } = testApi({ hosts });
  const stored = new Map<string, { delivery: Delivery; body: string }>();
  app.register(webhook, {
    secrets: () => secrets,
    wallMs: () => 1_000,
    accept: async (delivery, body) => {
      if (fail) throw fail;
      if (stored.has(delivery.id)) return { duplicate: true };
      stored.set(delivery.id, { delivery, body: Buffer.from(body ?? []).toString() });
      return { duplicate: false };
    },
  });
  return { app, stored, logged };
}

const having = (headers: Record<string, string>, hook: Hook = good): Hook => ({
  ...hook,
  headers: { ...hook.headers, ...headers },
});
const lacking = (header: string): Hook => ({
  ...good,
  headers: Object.fromEntries(Object.entries(good.headers).filter(([h]) => h !== header)),
});
const signed = (text: string | Buffer): Hook => {
  const body = Buffer.from(text);
  return { body, headers: { ...good.headers, 'x-hub-signature-256': sign(body, secret) } };
};

test('a webhook with a good signature is stored as it came, then answered 202', async () => {
  const { app, stored } = hooks();
  const answer = await send(app, good);
  const id = '72d3162e-cc78-11e3-81ab-4c9367dc0958';
  assert.equal(answer.statusCode, 202);
  assert.deepEqual(answer.json<HookAnswer>(), { delivery: `github/${id}`, duplicate: false });
  const { delivery, body } = stored.get(id) ?? assert.fail('not stored');
  assert.deepEqual(Value.Parse(Delivery, delivery), {
    v: 1,
    source: 'github',
    id,
    atMs: 1_000,
    by: 'anna',
    event: 'pull_request',
    payload,
  });
  assert.equal(body, good.body.toString());
  await app.close();
});

test('the same delivery again is answered 202 as a duplicate', async () => {
  const { app, stored } = hooks();
  await send(app, good);
  assert.deepEqual((await send(app, good)).json().duplicate, true);
  assert.equal(stored.size, 1);
  await app.close();
});

test('while a secret is exchanged, both the old and the new one are taken', async () => {
  const { app } = hooks({ secrets: ['the new one', secret] });
  assert.equal((await send(app, good)).statusCode, 202);
  assert.equal((await send(app, hookOf('push', {}, { secret: 'the new one', delivery: '1' }))).statusCode, 202);
  assert.equal((await send(app, hookOf('push', {}, { secret: 'an older one', delivery: '2' }))).statusCode, 401);
  await app.close();
});

test('a delivery id that is no token is stored under its hash', async () => {
  const { app, stored } = hooks();
  const answer = await send(app, having({ 'x-github-delivery': 'a.b>*' }));
  assert.match(answer.json().delivery, /^github\/h-[0-9a-f]{40}$/);
  assert.equal(stored.size, 1);
  await app.close();
});

test('every payload that GitHub recorded is taken', async () => {
  const { app, stored } = hooks();
  for (const [i, { event, payload }] of recorded.entries())
    assert.equal((await send(app, hookOf(event, payload, { secret, delivery: `d-${i}` }))).statusCode, 202, event);
  assert.equal(stored.size, recorded.length);
  await app.close();
});

const tooDeep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
for (const [what, hook, status, code] of [
  ['no content type', lacking('content-type'), 415, 'BAD_CONTENT_TYPE'],
  ['a form', having({ 'content-type': 'application/x-www-form-urlencoded' }), 415, 'BAD_CONTENT_TYPE'],
  ['a content type that only begins like JSON', having({ 'content-type': 'application/jsonp' }), 415, 'BAD_CONTENT_TYPE'],
  ['no event', lacking('x-github-event'), 400, 'BAD_HEADER'],
  ['an event that is none', having({ 'x-github-event': 'push, push' }), 400, 'BAD_HEADER'],
  ['an event that would be a subject', having({ 'x-github-event': 'push.>' }), 400, 'BAD_HEADER'],
  ['no delivery', lacking('x-github-delivery'), 400, 'BAD_HEADER'],
  ['an empty delivery', having({ 'x-github-delivery': '' }), 400, 'BAD_HEADER'],
  ['a delivery with a space', having({ 'x-github-delivery': 'a b' }), 400, 'BAD_HEADER'],
  ['a delivery that is very long', having({ 'x-github-delivery': 'a'.repeat(256) }), 400, 'BAD_HEADER'],
  ['no signature', lacking('x-hub-signature-256'), 401, 'UNAUTHORIZED'],
  ['a SHA-1 signature', having({ 'x-hub-signature-256': `sha1=${'0'.repeat(40)}` }), 401, 'UNAUTHORIZED'],
  ['a signature that is too short', having({ 'x-hub-signature-256': 'sha256=00' }), 401, 'UNAUTHORIZED'],
  [
    'two signatures',
    having({ 'x-hub-signature-256': `${sign(good.body, secret)}, ${sign(good.body, secret)}` }),
    401,
    'UNAUTHORIZED',
  ],
  ['a signature by another secret', having({ 'x-hub-signature-256': sign(good.body, 'another') }), 401, 'BAD_SIGNATURE'],
  ['a signature by the empty secret', having({ 'x-hub-signature-256': sign(good.body, '') }), 401, 'BAD_SIGNATURE'],
  ['one byte more than was signed', { ...good, body: Buffer.concat([good.body, Buffer.from(' ')]) }, 401, 'BAD_SIGNATURE'],
  ['no body', { ...good, body: Buffer.alloc(0) }, 401, 'BAD_SIGNATURE'],
  ['an empty body, signed', signed(''), 400, 'BAD_REQUEST'],
  ['what is not JSON, signed', signed('{"a":'), 400, 'BAD_REQUEST'],
  ['what is not JSON, not signed', { ...good, body: Buffer.from('{"a":') }, 401, 'BAD_SIGNATURE'],
  ['what is not UTF-8', signed(Buffer.from('{"a":"\xff"}', 'latin1')), 400, 'BAD_REQUEST'],
  ['JSON that is no object', signed('[1]'), 400, 'BAD_REQUEST'],
  ['JSON null', signed('null'), 400, 'BAD_REQUEST'],
  ['JSON that is nested without measure', signed(tooDeep), 400, 'BAD_REQUEST'],
  ['a body over 25 MB', { ...good, body: Buffer.alloc(maxHookBytes + 1) }, 413, 'BODY_TOO_LARGE'],
  [
    'a body over 25 MB without signature',
    { ...lacking('x-hub-signature-256'), body: Buffer.alloc(maxHookBytes + 1) },
    413,
    'BODY_TOO_LARGE',
  ],
] as [string, Hook, number, string][])
  test(`a webhook with ${what} is answered ${status} and not stored`, async () => {
    const { app, stored } = hooks();
    const answer = await send(app, hook);
    assert.equal(answer.statusCode, status, answer.body);
    assert.equal(Value.Parse(ApiError, answer.json()).error.code, code);
    assert.equal(stored.size, 0);
    await app.close();
  });

test('a form is told what to choose on GitHub', async () => {
  const { app } = hooks();
  const answer = await send(app, having({ 'content-type': 'application/x-www-form-urlencoded' }));
  assert.match(answer.json().error.message, /application\/json \(GitHub: choose it/);
  await app.close();
});

for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS'] as const)
  test(`${method} /hook is answered 405 with what is allowed`, async () => {
    const { app } = hooks();
    const answer = await app.inject({ method, url: '/hook', headers: good.headers });
    assert.equal(answer.statusCode, 405);
    assert.equal(answer.headers.allow, 'POST');
    await app.close();
  });

test('without a secret no webhook is taken: 503 before anything is looked at', async () => {
  for (const secrets of [[], ['']]) {
    const { app, stored } = hooks({ secrets });
    const answer = await send(app, { body: good.body, headers: { 'content-type': 'text/plain' } });
    assert.equal(answer.statusCode, 503);
    assert.equal(answer.json().error.code, 'NO_WEBHOOK_SECRET');
    assert.equal((await send(app, signed(''))).statusCode, 503);
    assert.equal(stored.size, 0);
    await app.close();
  }
});

test('what cannot be stored is answered 503, never 202', async () => {
  const { app } = hooks({ fail: new FarmError('UNAVAILABLE', { detail: 'not stored', afterS: 10 }) });
  const answer = await send(app, good);
  assert.equal(answer.statusCode, 503);
  assert.equal(answer.headers['retry-after'], '10');
  await app.close();
});

test('no more bodies are held at a time than there is memory for; later there is room again', async () => {
  const { app } = testApi();
  const storing = Promise.withResolvers<{ duplicate: boolean }>();
  const reached = Promise.withResolvers<void>();
  app.register(webhook, {
    secrets: () => [secret],
    wallMs: () => 1_000,
    maxHeldBytes: good.body.length * 1.5,
    accept: () => {
      reached.resolve();
      return storing.promise;
    },
  });
  const first = send(app, good);
  await reached.promise;
  assert.equal((await send(app, good)).statusCode, 503);
  storing.resolve({ duplicate: false });
  assert.equal((await first).statusCode, 202);
  assert.equal((await send(app, good)).statusCode, 202);
  await app.close();
});

test('a sender that goes away in the middle of a body leaves its room to others', async () => {
  const { app } = testApi();
  const maxHeldBytes = good.body.length + 1;
  app.register(webhook, {
    secrets: () => [secret],
    wallMs: () => 1_000,
    maxHeldBytes,
    accept: async () => ({ duplicate: false }),
  });
  const reading = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  app.addHook('preParsing', async () => reading.resolve());
  app.addHook('onRequestAbort', async (_request) => aborted.resolve());
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
  const socket = connect(Number(port), '127.0.0.1');
  const head = Object.entries({ host: 'localhost', 'content-length': maxHeldBytes, ...good.headers }).map(
    ([k, v]) => `${k}: ${v}`,
  );
  socket.write(`POST /hook HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n{`);
  await reading.promise;
  assert.equal((await send(app, good)).statusCode, 503);
  socket.destroy();
  await aborted.promise;
  assert.equal((await send(app, good)).statusCode, 202);
  await app.close();
});

test('webhooks come to the public name of the farm, and to no other', async () => {
  const { app } = hooks({ hosts: ['hooks.example.com'] });
  assert.equal((await send(app, having({ host: 'hooks.example.com' }))).statusCode, 202);
  assert.equal((await send(app, having({ host: 'rebound.example' }))).statusCode, 403);
  await app.close();
});

test('the secret and the signature stay out of the log', async () => {
  const { app, logged } = hooks();
  await send(app, good);
  await send(app, having({ 'x-hub-signature-256': sign(good.body, 'another') }));
  const text = JSON.stringify(logged);
  assert.ok(!text.includes(secret) && !text.includes('sha256='));
  await app.close();
});

/** Numbers that look random and are the same each time (mulberry32). */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

test('10,000 mutilated webhooks are each answered 202 or 4xx', { timeout: 60_000 }, async () => {
  const { app, logged } = hooks();
  const roll = dice(20_261_121);
  const small = recorded
    .map(({ event, payload }) => hookOf(event, payload, { secret, delivery: 'x' }))
    .filter((h) => h.body.length < 20_000);
  const odd = [
    '',
    ' ',
    '\u00ff',
    '%00',
    '../..',
    '*',
    '>',
    '.',
    '-1',
    '1e999',
    'application/json;',
    'sha256=',
    'a'.repeat(1_000),
    '{}',
    'null',
  ];
  const seen = new Map<number, number>();
  for (let i = 0; i < 10_000; i += 1) {
    const base = small[roll(small.length)] ?? assert.fail('no payloads');
    const body = Buffer.from(base.body);
    for (let n = roll(4); n > 0; n -= 1) body[roll(body.length)] = roll(256);
    const cut = roll(8) === 0 ? body.subarray(0, roll(body.length)) : body;
    const headers: Record<string, string> = { ...base.headers, 'x-github-delivery': `fuzz-${i}` };
    if (roll(4) > 0) headers['x-hub-signature-256'] = sign(cut, secret);
    if (roll(4) === 0) {
      const names = Object.keys(headers);
      headers[names[roll(names.length)] ?? ''] = odd[roll(odd.length)] ?? '';
    }
    const { statusCode } = await send(app, { body: cut, headers });
    assert.ok(statusCode === 202 || (statusCode >= 400 && statusCode < 500), `${i}: ${statusCode}`);
    seen.set(statusCode, (seen.get(statusCode) ?? 0) + 1);
    logged.length = 0;
  }
  for (const status of [202, 400, 401, 415]) assert.ok((seen.get(status) ?? 0) > 50, `${status} came ${seen.get(status)} times`);
  await app.close();
});

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Value } from 'typebox/value';
import { type Accept, accepting } from '../../../controller/intake/accept.ts';
import { maxHookBytes, webhook } from '../../../controller/intake/webhook.ts';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import type { Objects } from '../../../controller/store/objects.ts';
import { Delivery, deliverySubject } from '../../../protocol/delivery.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { testApi } from '../../support/api.ts';
import { startTestNats, type TestNats } from '../../support/nats.ts';
import { hookOf, send } from '../../support/webhooks.ts';

let nats: TestNats;
let nc: NatsConnection;
let objects: Objects;
let accept: Accept;
let dir: string;

before(async () => {
  nats = await startTestNats();
  nc = await nats.connect();
  dir = await mkdtemp(join(tmpdir(), 'thresh-objects-'));
  objects = fileObjects(dir);
  accept = acceptOn(nc);
});
after(async () => {
  await nats.stop();
  await rm(dir, { recursive: true, force: true });
});

const acceptOn = (connection: NatsConnection): Accept =>
  accepting({
    js: jetstream(connection),
    objects,
    maxPayloadBytes: () => connection.info?.max_payload ?? 0,
    now: () => performance.now(),
  });

const deliveryOf = (id: string, payload: unknown = { a: 1 }): Delivery => ({
  v: 1,
  source: 'github',
  id,
  atMs: Date.now(),
  by: 'anna',
  event: 'push',
  payload,
});

/** What the stream holds for a delivery. */
async function stored(id: string, connection = nc): Promise<{ seq: number; delivery: Delivery } | undefined> {
  const jsm = await jetstreamManager(connection);
  const message = await jsm.streams.getMessage('DELIVERIES', { last_by_subj: deliverySubject({ source: 'github', id }) });
  return message ? { seq: message.seq, delivery: Value.Parse(Delivery, message.json()) } : undefined;
}

test('a delivery is there once, however often and by whomever it is accepted', async () => {
  const others = await Promise.all([nats.connect(), nats.connect()]);
  const accepts = [accept, ...others.map(acceptOn)];
  const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => accepts[i % 3]?.(deliveryOf('race'))));
  assert.equal(answers.filter((a) => a?.duplicate === false).length, 1);
  const jsm = await jetstreamManager(nc);
  const info = await jsm.streams.info('DELIVERIES', { subjects_filter: 'delivery.github.race' });
  assert.deepEqual(info.state.subjects, { 'delivery.github.race': 1 });
});

test('a delivery that is sent again much later, with another body, changes nothing', async () => {
  assert.deepEqual(await accept(deliveryOf('again')), { duplicate: false });
  const first = await stored('again');
  // No memory of a client or of a window of the server's may be what knows it.
  await nats.restart();
  const other = await nats.connect();
  assert.deepEqual(await acceptOn(other)(deliveryOf('again', { a: 2 })), { duplicate: true });
  assert.deepEqual(await stored('again', other), first);
});

test('a body over half of the largest message is put into object storage, and the message names it', async () => {
  const body = Buffer.from(JSON.stringify({ filler: 'x'.repeat(maxHookBytes - 100) }));
  assert.deepEqual(await accept(deliveryOf('big', {}), body), { duplicate: false });
  const { delivery } = (await stored('big')) ?? assert.fail('not stored');
  assert.equal(delivery.payload, undefined);
  assert.equal(delivery.object, 'deliveries/github/big');
  assert.ok((await objects.get('deliveries/github/big'))?.equals(body));
});

test('a body of half of the largest message is in the message', async () => {
  const half = (nc.info?.max_payload ?? 0) / 2;
  const body = Buffer.from(JSON.stringify({ filler: 'x'.repeat(half - 13) }));
  assert.equal(body.length, half);
  await accept(deliveryOf('half', {}), body);
  assert.deepEqual((await stored('half'))?.delivery.payload, JSON.parse(body.toString()));
});

test('a full stream is answered at once as unavailable, and takes deliveries again when there is room', async () => {
  const jsm = await jetstreamManager(nc);
  const { config, state } = await jsm.streams.info('DELIVERIES');
  await jsm.streams.update('DELIVERIES', { max_bytes: state.bytes + 1_000 });
  const filler = Buffer.from(JSON.stringify({ filler: 'x'.repeat(2_000) }));
  const startedAt = performance.now();
  await assert.rejects(accept(deliveryOf('full', {}), filler), (e) => isFarmError(e, 'UNAVAILABLE') && e.facts.afterS > 0);
  assert.ok(performance.now() - startedAt < 1_000);
  await jsm.streams.update('DELIVERIES', { max_bytes: config.max_bytes });
  assert.deepEqual(await accept(deliveryOf('full', {}), filler), { duplicate: false });
});

test('5,000 deliveries at once are all stored', async () => {
  const answers = await Promise.all(Array.from({ length: 5_000 }, (_, i) => accept(deliveryOf(`many-${i}`))));
  assert.ok(answers.every((a) => !a.duplicate));
});

test('NATS that goes and comes back within seconds costs no delivery', async () => {
  await nats.crash();
  const accepted = accept(deliveryOf('blip'));
  await nats.restart();
  assert.deepEqual(await accepted, { duplicate: false });
  assert.ok(await stored('blip'));
});

test('a webhook is answered 503 within 10 s while NATS is down, and 202 when it is sent again later', {
  timeout: 30_000,
}, async () => {
  const { app } = testApi();
  app.register(webhook, { accept, secrets: () => ['s'], wallMs: Date.now });
  const hook = hookOf('push', { a: 1 }, { secret: 's', delivery: 'later' });
  await nats.crash();
  const startedAt = performance.now();
  const refused = await send(app, hook);
  assert.equal(refused.statusCode, 503);
  assert.ok(Number(refused.headers['retry-after']) > 0);
  assert.ok(performance.now() - startedAt < 10_000);
  await nats.restart();
  const taken = await send(app, hook);
  assert.equal(taken.statusCode, 202, taken.body);
  assert.equal(taken.json().duplicate, false);
  assert.ok(await stored('later'));
  await app.close();
});

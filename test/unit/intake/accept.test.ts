import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JetStreamApiError, type JetStreamPublishOptions } from '@nats-io/jetstream';
import { errors } from '@nats-io/transport-node';
import { type AcceptDeps, accepting } from '../../../controller/intake/accept.ts';
import type { Delivery } from '../../../protocol/delivery.ts';
import { isFarmError } from '../../../protocol/errors.ts';

const delivery: Delivery = { v: 1, source: 'github', id: 'g-1', atMs: 1, by: 'anna', event: 'push', payload: { a: 1 } };
const refusal = (err_code: number, description: string) => new JetStreamApiError({ code: 400, err_code, description });
const noAnswer = new errors.TimeoutError();

/** A stream that answers publishes in turn, for ever with the last one; 'hang': at the time-out. */
function streamThat(...answers: ('stored' | Error)[]) {
  const published: { subject: string; body: string; opts: Partial<JetStreamPublishOptions> }[] = [];
  const publish: AcceptDeps['js']['publish'] = async (subject, body, opts = {}) => {
    published.push({ subject, body: Buffer.from(body as Uint8Array).toString(), opts });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return { stream: 'DELIVERIES', seq: published.length, duplicate: false };
  };
  return { published, js: { publish } };
}

const acceptWith = (js: AcceptDeps['js'], over: Partial<AcceptDeps> = {}) =>
  accepting({
    js,
    objects: { put: async () => ({ sizeBytes: 0, sha256: '' }) },
    maxPayloadBytes: () => 1024 * 1024,
    now: () => performance.now(),
    withinMs: 500,
    ...over,
  });

test('a delivery is published on its subject on condition that nothing is there', async () => {
  const { js, published } = streamThat('stored');
  assert.deepEqual(await acceptWith(js)(delivery), { duplicate: false });
  const [message] = published;
  assert.equal(message?.subject, 'delivery.github.g-1');
  assert.deepEqual(message?.opts.expect, { lastSubjectSequence: 0 });
  assert.deepEqual(JSON.parse(message?.body ?? ''), delivery);
});

test('the payload is stored in the very bytes that came', async () => {
  const { js, published } = streamThat('stored');
  const bytes = '{ "id" : 12345678901234567890, "a":1.0 }';
  await acceptWith(js)(delivery, Buffer.from(bytes));
  assert.ok(published[0]?.body.endsWith(`,"payload":${bytes}}`));
  assert.equal(JSON.parse(published[0]?.body ?? '').id, 'g-1');
});

test('already there is a duplicate', async () => {
  const { js } = streamThat(refusal(10071, 'wrong last sequence: 4'));
  assert.deepEqual(await acceptWith(js)(delivery), { duplicate: true });
});

test('a publish without an answer is repeated; what is there then is our own', async () => {
  const { js, published } = streamThat(noAnswer, refusal(10071, 'wrong last sequence: 4'));
  assert.deepEqual(await acceptWith(js)(delivery), { duplicate: false });
  assert.equal(published.length, 2);
  assert.deepEqual(published[1], { ...published[0], opts: { ...published[0]?.opts, timeout: published[1]?.opts.timeout } });
});

for (const [what, error, tries] of [
  ['the stream is full', refusal(10077, 'maximum bytes exceeded'), 1],
  ['the disk is full', refusal(10023, 'insufficient resources'), 1],
  ['the stream is not there', refusal(10059, 'stream not found'), 1],
  ['the connection is closed for good', new errors.ClosedConnectionError(), 1],
] as const)
  test(`when ${what} it is said at once that nothing was stored`, async () => {
    const { js, published } = streamThat(error);
    await assert.rejects(acceptWith(js)(delivery), (e) => isFarmError(e, 'UNAVAILABLE') && e.cause === error);
    assert.equal(published.length, tries);
  });

test('when the server is overrun the same is published a little later', async () => {
  const { js, published } = streamThat(refusal(10167, 'too many requests'), 'stored');
  assert.deepEqual(await acceptWith(js)(delivery), { duplicate: false });
  assert.equal(published.length, 2);
});

test('a server that never answers is given up in time', async () => {
  let nowMs = 0;
  const js: AcceptDeps['js'] = {
    publish: async (_subject, _body, opts) => {
      nowMs += opts?.timeout ?? 5_000;
      throw noAnswer;
    },
  };
  await assert.rejects(acceptWith(js, { now: () => nowMs, withinMs: 8_000 })(delivery), { code: 'UNAVAILABLE' });
  assert.equal(nowMs, 8_000);
});

test('an object storage that never answers is given up in time, and nothing is published', async () => {
  const { js, published } = streamThat('stored');
  const accept = acceptWith(js, { objects: { put: () => new Promise(() => {}) }, withinMs: 30 });
  await assert.rejects(accept(delivery, Buffer.alloc(600_000)), { code: 'UNAVAILABLE' });
  assert.equal(published.length, 0);
});

test('no more than 1,000 publishes are without an answer at a time, and all are made', async () => {
  let open = 0;
  let most = 0;
  const js: AcceptDeps['js'] = {
    publish: async () => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      return { stream: 'DELIVERIES', seq: 1, duplicate: false };
    },
  };
  const accept = acceptWith(js);
  const answers = await Promise.all(Array.from({ length: 3_000 }, (_, i) => accept({ ...delivery, id: `g-${i}` })));
  assert.equal(answers.length, 3_000);
  assert.equal(most, 1_000);
});

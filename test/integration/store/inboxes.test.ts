import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { ensureInbox, removeInbox } from '../../../controller/store/inboxes.ts';
import { publishTask, withdrawTask } from '../../../controller/store/tasks.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { startTestNats, type TestNats } from '../../support/nats.ts';
import { aTask } from '../../support/tasks.ts';

async function farm(): Promise<AsyncDisposable & { nats: TestNats; js: JetStreamClient; jsm: JetStreamManager }> {
  const nats = await startTestNats();
  const nc = await nats.connect();
  return { nats, js: jetstream(nc), jsm: await jetstreamManager(nc), [Symbol.asyncDispose]: nats.stop };
}

/** As an agent does it: one pull at a time, and no question about the consumer, which it may not ask. */
const pull = (nc: NatsConnection, agent: string, expires = 1_000) =>
  jetstream(nc)
    .consumers.getConsumerFromInfo({ stream_name: 'TASKS', name: agent, config: {} } as never)
    .next({ expires });

const first = { again: false };
const again = { again: true };

test('a task goes to its agent, at once when the agent waits, and to no other', async () => {
  await using f = await farm();
  const [a, b] = [await f.nats.connectAgent('a'), await f.nats.connectAgent('b')];
  for (const agent of ['a', 'b', 'a']) await ensureInbox(f.jsm, agent);
  const [atA, atB] = [pull(a, 'a', 5_000), pull(b, 'b')];
  assert.equal(await publishTask(f.js, f.jsm, aTask({ agent: 'a' }), first), 'published');
  assert.deepEqual((await atA)?.json(), aTask({ agent: 'a' }));
  assert.equal(await atB, null);
});

test('a task that was published before its agent came waits for it, also through a crash of the server', async () => {
  await using f = await farm();
  await ensureInbox(f.jsm, 'a');
  await publishTask(f.js, f.jsm, aTask(), first);
  await f.nats.restart();
  assert.equal((await pull(await f.nats.connectAgent('a'), 'a'))?.subject, 'task.a.1990000000000000001.build.1');
});

test('the same attempt twice is delivered once; asked for again it is delivered again', async () => {
  await using f = await farm();
  const a = await f.nats.connectAgent('a');
  await ensureInbox(f.jsm, 'a');
  assert.equal(await publishTask(f.js, f.jsm, aTask({ term: 1 }), first), 'published');
  assert.equal(await publishTask(f.js, f.jsm, aTask({ term: 1 }), first), 'there');
  assert.ok(await pull(a, 'a'));
  assert.equal(await pull(a, 'a'), null);

  assert.equal(await publishTask(f.js, f.jsm, aTask({ term: 2 }), again), 'published');
  assert.equal((await pull(a, 'a'))?.json<{ term: number }>().term, 2);
  assert.equal(await publishTask(f.js, f.jsm, aTask({ attempt: 2 }), again), 'published', 'nothing to take out');
  assert.equal((await f.jsm.streams.info('TASKS')).state.messages, 2);
});

test('of several that publish one attempt at once, each hears that it is there, and one message is', async () => {
  await using f = await farm();
  const all = await Promise.all(Array.from({ length: 10 }, () => publishTask(f.js, f.jsm, aTask(), first)));
  assert.equal(all.filter((x) => x === 'published').length, 1);
  const mixed = await Promise.all(Array.from({ length: 10 }, () => publishTask(f.js, f.jsm, aTask(), again)));
  assert.ok(mixed.includes('published'));
  assert.equal((await f.jsm.streams.info('TASKS')).state.messages, 1);
});

test('a withdrawn task is not delivered, and its neighbours are', async () => {
  await using f = await farm();
  const a = await f.nats.connectAgent('a');
  await ensureInbox(f.jsm, 'a');
  for (const attempt of [1, 2]) await publishTask(f.js, f.jsm, aTask({ attempt }), first);
  assert.equal(await withdrawTask(f.jsm, 'a', aTask({ attempt: 1 })), true);
  assert.equal(await withdrawTask(f.jsm, 'a', aTask({ attempt: 1 })), false);
  assert.equal((await pull(a, 'a'))?.subject, 'task.a.1990000000000000001.build.2');
  assert.equal(await pull(a, 'a'), null);
  assert.deepEqual(
    (await Promise.all([1, 2].map(() => withdrawTask(f.jsm, 'a', aTask({ attempt: 2 }))))).toSorted(),
    [false, true],
    'two at once',
  );
});

test('a removed inbox delivers nothing; made again it delivers what is still stored', async () => {
  await using f = await farm();
  const a = await f.nats.connectAgent('a');
  await ensureInbox(f.jsm, 'a');
  await publishTask(f.js, f.jsm, aTask(), first);
  assert.equal(await removeInbox(f.jsm, 'a'), true);
  assert.equal(await removeInbox(f.jsm, 'a'), false);
  const nothing = await pull(a, 'a').catch((error: Error) => error.message);
  assert.ok(nothing === null || typeof nothing === 'string', String(nothing));
  await ensureInbox(f.jsm, 'a');
  assert.ok(await pull(a, 'a'));
});

test('an id that is no token of a subject gets no inbox', async () => {
  await using f = await farm();
  for (const id of ['', '*', '>', 'a.b', 'a.>']) await assert.rejects(ensureInbox(f.jsm, id), RangeError, id);
});

test('a full stream is an error and not "there"', async () => {
  await using f = await farm();
  await f.jsm.streams.update('TASKS', { max_bytes: 4_096 });
  const big = aTask({ secrets: { A: 'x'.repeat(5_000) } });
  await assert.rejects(publishTask(f.js, f.jsm, big, first), (e) => isFarmError(e, 'TASK_NOT_PUBLISHED'));
  const huge = aTask({ secrets: { A: 'x'.repeat(2_000_000) } });
  await assert.rejects(publishTask(f.js, f.jsm, huge, first), (e) => isFarmError(e, 'TASK_NOT_PUBLISHED'));
});

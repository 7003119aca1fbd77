import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepBeating } from '../../../agent/beat.ts';
import type { Beat, BeatAnswer, Orders } from '../../../protocol/beat.ts';

const beatOf = (change: Partial<Beat> = {}): Beat => ({
  v: 1,
  term: 1,
  slots: { total: 1, free: 1 },
  draining: false,
  held: [],
  workspaces: [],
  shipping: 0,
  health: {},
  ...change,
});
const ordersOf = (change: Partial<Orders> = {}): Orders => ({
  v: 1,
  type: 'orders',
  term: 1,
  cancel: [],
  revoke: [],
  forget: [],
  drain: false,
  ...change,
});
const held = { run: '1', step: 'main', attempt: 1, stopping: false };

/** An agent whose beats a test hears and answers, one after another. */
function beating() {
  const stop = new AbortController();
  const asked: { beat: Beat; answer: (answer: BeatAnswer | 'no-answer') => void }[] = [];
  const heeded: Orders[] = [];
  const heard: Beat[] = [];
  const slept: number[] = [];
  let beat = beatOf();
  let news = Promise.withResolvers<void>();
  let wake = Promise.withResolvers<void>();
  const done = keepBeating(
    {
      say: () => beat,
      news: () => {
        news = Promise.withResolvers();
        return news.promise;
      },
      ask: (said) =>
        new Promise((answer) => {
          asked.push({ beat: said, answer });
          wake.resolve();
        }),
      heed: (orders) => heeded.push(orders),
      heard: (said) => heard.push(said),
      sleep: async (ms) => void slept.push(ms),
    },
    stop.signal,
  );
  return {
    heeded,
    heard,
    slept,
    say: (change: Partial<Beat>) => {
      beat = beatOf(change);
    },
    tell: () => news.resolve(),
    next: async () => {
      while (asked.length === 0) {
        wake = Promise.withResolvers();
        await wake.promise;
      }
      const [first] = asked.splice(0, 1);
      assert.ok(first);
      return first;
    },
    end: async () => {
      stop.abort();
      news.resolve();
      for (const { answer } of asked) answer('no-answer');
      await done;
    },
  };
}

test('news are said at once, although the answer to the beat before is still held; a late answer is heeded too', async () => {
  const t = beating();
  const first = await t.next();
  t.say({ held: [held] });
  t.tell();
  const second = await t.next();
  assert.deepEqual([first.beat.held, second.beat.held], [[], [held]]);
  second.answer(ordersOf({ cancel: [held] }));
  await t.next();
  assert.deepEqual(
    t.heeded.map((o) => o.cancel.length),
    [1],
  );
  assert.deepEqual(t.heard, [second.beat], 'only that one has been heard');
  first.answer(ordersOf({ revoke: [held] }));
  await t.end();
  assert.deepEqual(
    t.heeded.map((o) => o.revoke.length),
    [0, 1],
  );
});

test('orders of a term below the highest that was heard are not heeded', async () => {
  const t = beating();
  (await t.next()).answer(ordersOf({ term: 3 }));
  const second = await t.next();
  assert.equal(second.beat.term, 3);
  second.answer(ordersOf({ term: 2, cancel: [held] }));
  await t.next();
  await t.end();
  assert.deepEqual(
    t.heeded.map((o) => o.term),
    [3],
  );
});

test('no answer, or one that makes no sense, is no answer: the next beat comes a second later', async () => {
  const t = beating();
  (await t.next()).answer('no-answer');
  (await t.next()).answer({ v: 1, type: 'nonsense' } as unknown as BeatAnswer);
  await t.next();
  assert.deepEqual(
    t.slept.filter((ms) => ms === 1_000),
    [1_000, 1_000],
  );
  assert.deepEqual([t.heeded, t.heard], [[], []]);
  await t.end();
});

test('a controller that has stepped down has heard nothing', async () => {
  const t = beating();
  (await t.next()).answer({ v: 1, type: 'again' });
  await t.next();
  await t.end();
  assert.deepEqual([t.heeded, t.heard], [[], []]);
});

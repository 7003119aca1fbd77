import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { Attempts, type AttemptsDeps } from '../../../agent/attempts.ts';
import type { StepEnd } from '../../../agent/executor/executor.ts';
import { openJournal } from '../../../agent/journal.ts';
import type { Shipped } from '../../../agent/ship/ship.ts';
import { openSpool } from '../../../agent/ship/spool.ts';
import type { Orders } from '../../../protocol/beat.ts';
import { keyOf, type Task } from '../../../protocol/task.ts';
import { aTask } from '../../support/tasks.ts';
import { tempDir } from '../../support/temp-dir.ts';

const ordersOf = (change: Partial<Orders>): Orders => ({
  v: 1,
  type: 'orders',
  term: 1,
  cancel: [],
  revoke: [],
  forget: [],
  drain: false,
  ...change,
});
const keyIn = ({ run, step, attempt }: Task) => ({ run, step, attempt });

/** An agent's attempts with a real journal and spools, and an executor whose steps end when the test says so. */
async function attemptsWith(change: Partial<AttemptsDeps> = {}) {
  const temporary = await tempDir('attempts');
  const { path } = temporary;
  const journal = openJournal(path, () => 1);
  const calls: string[] = [];
  const ends: PromiseWithResolvers<StepEnd>[] = [];
  const shipped = Promise.withResolvers<Shipped>();
  const stopping = new AbortController();
  const sent: string[] = [];
  const attempts = new Attempts({
    agent: 'a',
    slots: 2,
    log: pino({ level: 'silent' }),
    wallMs: () => 1,
    executor: {
      kind: 'scripted',
      reap: async () => false,
      start: (job) => {
        calls.push('start');
        const ended = Promise.withResolvers<StepEnd>();
        ends.push(ended);
        void job.handle({ kind: 'scripted' });
        return {
          ended: ended.promise,
          stop: () => ended.resolve({ outcome: 'stopped' }),
          kill: () => {
            calls.push('kill');
            ended.resolve({ outcome: 'stopped' });
          },
        };
      },
    },
    takesUntrusted: true,
    journal,
    openWorkspace: async () => ({ workspace: path, scratch: path, artifacts: path }),
    guard: { begun: () => {}, ended: (_, end) => end },
    leftWorkspace: () => {},
    openSecrets: () => ({}),
    openSpool: (task) => openSpool({ root: path, key: task, maxBytes: 1_000, now: () => 1 }),
    ship: { add: () => shipped.promise },
    collect: async () => ({}),
    sendNotices: (key) => void sent.push(keyOf(key)),
    stopping: stopping.signal,
    changed: () => {},
    ...change,
  });
  const started = async (count: number) => {
    while (ends.length < count) await new Promise((resolve) => setImmediate(resolve));
  };
  const stop = async () => {
    stopping.abort();
    journal.close();
    await temporary[Symbol.asyncDispose]();
  };
  return { attempts, journal, calls, ends, shipped, sent, started, [Symbol.asyncDispose]: stop };
}

const lastNotice = (t: Awaited<ReturnType<typeof attemptsWith>>, task: Task) => t.journal.get(keyIn(task))?.notices.at(-1);

test('while draining a task is taken only to be given back, and nothing of it starts', async () => {
  await using t = await attemptsWith();
  t.attempts.drain();
  await t.attempts.slot(AbortSignal.timeout(1_000));
  const task = aTask();
  t.attempts.take(task);
  assert.deepEqual(t.attempts.said().held, [{ ...keyIn(task), stopping: false }], 'the leader hears that it is here');
  await t.attempts.idle(AbortSignal.timeout(5_000));
  const notice = lastNotice(t, task);
  assert.deepEqual([notice?.type, notice?.type === 'return' && notice.reason], ['return', "agent 'a' is leaving"]);
  assert.deepEqual([t.calls, t.sent], [[], [keyOf(task)]]);
});

test('the same task again starts nothing', async () => {
  await using t = await attemptsWith();
  t.attempts.take(aTask());
  t.attempts.take(aTask());
  await t.started(1);
  t.ends[0]?.resolve({ outcome: 'pass' });
  await t.attempts.idle(AbortSignal.timeout(5_000));
  t.attempts.take(aTask());
  assert.deepEqual(t.calls, ['start']);
});

test('a revoked attempt is killed and nobody hears of its end', async () => {
  await using t = await attemptsWith();
  const task = aTask();
  t.attempts.take(task);
  await t.started(1);
  t.attempts.heed(ordersOf({ revoke: [keyIn(task)] }));
  await t.attempts.idle(AbortSignal.timeout(5_000));
  assert.deepEqual(t.calls, ['start', 'kill']);
  assert.equal(t.journal.get(keyIn(task)), undefined);
});

test('an attempt that has ended is not forgotten because it is revoked: its log is still on its way', async () => {
  await using t = await attemptsWith();
  const task = aTask();
  t.attempts.take(task);
  await t.started(1);
  t.ends[0]?.resolve({ outcome: 'pass' });
  await t.attempts.idle(AbortSignal.timeout(5_000));
  t.attempts.heed(ordersOf({ revoke: [keyIn(task)] }));
  assert.equal(lastNotice(t, task)?.type, 'end');
  t.attempts.noticesStored(keyIn(task));
  assert.deepEqual([t.attempts.said().held, t.attempts.said().shipping], [[], 1]);
  t.shipped.resolve({ key: keyIn(task), outcome: 'complete' });
  await t.attempts.allTold(AbortSignal.timeout(5_000));
  assert.equal(t.journal.get(keyIn(task)), undefined);
});

test('an end that the disk does not take is kept and tried again; the attempt is held meanwhile', async () => {
  await using t = await attemptsWith();
  const task = aTask();
  t.attempts.take(task);
  await t.started(1);
  const { addNotice } = t.journal;
  let refused = 0;
  t.journal.addNotice = (...args) => {
    refused += 1;
    if (refused === 1) throw new Error('no space left on device');
    return addNotice(...args);
  };
  t.ends[0]?.resolve({ outcome: 'pass' });
  while (refused === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(t.attempts.said().held.length, 1);
  await t.attempts.idle(AbortSignal.timeout(5_000));
  assert.equal(lastNotice(t, task)?.type, 'end');
});

test('orders and tasks of an earlier term are left alone', async () => {
  await using t = await attemptsWith();
  const task = aTask({ term: 2 });
  t.attempts.take(task);
  await t.started(1);
  t.attempts.heed(ordersOf({ term: 1, revoke: [keyIn(task)] }));
  t.attempts.take(aTask({ term: 1, attempt: 2 }));
  assert.deepEqual(t.calls, ['start']);
  t.ends[0]?.resolve({ outcome: 'pass' });
  await t.attempts.idle(AbortSignal.timeout(5_000));
});

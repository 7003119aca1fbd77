import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Forgetting } from '../../../agent/workspace/forgetting.ts';

/** A forgetter whose removals end when the test says so. */
function forgetter(over: { isUsed?: (name: string) => boolean } = {}) {
  const batches: string[][] = [];
  const gone: PromiseWithResolvers<void>[] = [];
  const failures: string[][] = [];
  let changes = 0;
  const forgetting = new Forgetting({
    forget: (names) => {
      batches.push(names);
      const one = Promise.withResolvers<void>();
      gone.push(one);
      return one.promise;
    },
    isUsed: over.isUsed ?? (() => false),
    failed: (names) => failures.push(names),
    changed: async () => {
      changes += 1;
    },
  });
  const settle = async (error?: Error) => {
    const one = gone.shift();
    if (error) one?.reject(error);
    else one?.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { forgetting, batches, failures, settle, changes: () => changes };
}

test('workspaces are removed a hundred at a time, one batch after the other', async () => {
  const { forgetting, batches, settle, changes } = forgetter();
  forgetting.put(Array.from({ length: 250 }, (_, i) => `${i}.1`));
  assert.deepEqual(
    batches.map((b) => b.length),
    [100],
  );
  await settle();
  await settle();
  await settle();
  assert.deepEqual([batches.map((b) => b.length), changes()], [[100, 100, 50], 3]);
});

test('what is named again while it is being removed is removed once, and again when it is named later', async () => {
  const { forgetting, batches, settle } = forgetter();
  forgetting.put(['1.1']);
  forgetting.put(['1.1', '2.1']);
  await settle();
  await settle();
  assert.deepEqual(batches, [['1.1'], ['2.1']]);
  forgetting.put(['1.1']);
  assert.equal(batches.length, 3);
});

test('what is still in use is passed over, and what fails is told and holds up nothing', async () => {
  const { forgetting, batches, failures, settle } = forgetter({ isUsed: (name) => name === '1.1' });
  forgetting.put(['1.1']);
  await settle();
  assert.deepEqual(batches, []);
  forgetting.put(['1.1', '2.1']);
  await settle(new Error('busy'));
  forgetting.put(['3.1']);
  assert.deepEqual([batches, failures], [[['2.1'], ['3.1']], [['2.1']]]);
});

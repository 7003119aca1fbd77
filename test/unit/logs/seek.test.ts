import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seek } from '../../../controller/logs/seek.ts';
import { memoryLogs } from '../../support/memory-logs.ts';

const key = { run: '12', step: 'unit', attempt: 1 };
const other = { run: '12', step: 'other', attempt: 1 };

test('nothing of a log: the beginning', async () => {
  assert.equal(await seek(memoryLogs(), key, 7), 0);
});

test('for any chunks among those of other logs, what comes after has the byte and nothing before it is needed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(5), fc.nat(3)), { minLength: 1, maxLength: 30 }),
      fc.nat(100),
      fc.nat(20),
      async (chunks, wanted, purged) => {
        const store = memoryLogs();
        for (const [length, others] of chunks) {
          for (let i = 0; i < others; i++) store.add(other, 'x');
          store.add(key, 'y'.repeat(length));
        }
        store.purge(purged);
        const last = await store.last(key);
        if (!last) return;
        const first = await store.next(key, 1);
        const total = last.offset + last.bytes.length;
        const offset = Math.max(first?.offset ?? 0, Math.min(wanted, total));
        const found = await store.next(key, (await seek(store, key, offset)) + 1);
        assert.ok(
          found &&
            found.offset <= offset &&
            (offset === total || found.offset + found.bytes.length > offset || found.bytes.length === 0),
        );
      },
    ),
  );
});

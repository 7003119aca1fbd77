import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { freeBytes } from '../../../agent/disk.ts';

test('free space is a whole number of bytes, and a directory that is not there is an error', async () => {
  const free = await freeBytes(tmpdir());
  assert.ok(Number.isSafeInteger(free) && free > 0);
  await assert.rejects(freeBytes('/no/such/directory'));
});

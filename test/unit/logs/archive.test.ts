import assert from 'node:assert/strict';
import { test } from 'node:test';
import { archiveLog, archiveUpTo, archiveWhole } from '../../../controller/logs/archive.ts';
import { readArchiveEnd, readSegments } from '../../../controller/logs/segments.ts';
import { sha256 } from '../../support/log-farm.ts';
import { memoryLogs, memoryObjects } from '../../support/memory-logs.ts';

const key = { run: '12', step: 'unit', attempt: 1 };
const setUp = (...chunks: string[]) => {
  const [store, objects] = [memoryLogs(), memoryObjects()];
  for (const chunk of chunks) store.add(key, chunk);
  return { store, objects, segmentBytes: 4 };
};
const archived = async (deps: ReturnType<typeof setUp>): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const piece of readSegments(deps.objects, key, 0)) parts.push(piece.bytes);
  return Buffer.concat(parts).toString();
};
const names = (deps: ReturnType<typeof setUp>) =>
  deps.objects.keys().map((k) => k.slice('logs/12/unit/1/'.length).replace(/0{13}/g, ''));

test('a log that has ended is archived in segments, with its hash', async () => {
  const deps = setUp('abc', 'defgh', 'ij');
  const result = { bytes: 10, sha256: sha256(Buffer.from('abcdefghij')), missing: 0 };
  assert.deepEqual(await archiveLog(key, { total: 10 }, deps), result);
  assert.deepEqual(names(deps), ['000-004', '004-008', '008-010', 'end']);
  assert.equal(await archived(deps), 'abcdefghij');
  deps.store.purge(100);
  assert.deepEqual(await archiveLog(key, { total: 10 }, deps), result, 'again, when the stream has nothing of it');
});

test('a log whose end is not stored yet is waited for, and given up with a marker', async () => {
  const deps = setUp('abc');
  assert.equal(await archiveLog(key, { total: 10 }, deps), undefined);
  assert.partialDeepStrictEqual(await archiveLog(key, { total: 10, giveUp: true }, deps), { bytes: 3, missing: 7 });
  assert.partialDeepStrictEqual(await readArchiveEnd(deps.objects, key), { bytes: 3, missing: 7 });
  deps.store.add(key, 'defghij');
  assert.partialDeepStrictEqual(await archiveLog(key, { total: 10 }, deps), { bytes: 10, missing: 0 }, 'it came after all');
  assert.equal(await archived(deps), 'abcdefghij');
});

test('a log whose sender is slow is not given up', async () => {
  const deps = setUp('abc');
  const storedAtMs = (await deps.store.last(key))?.storedAtMs ?? 0;
  const how = { total: 10, giveUp: true };
  assert.equal(await archiveLog(key, { ...how, unlessStoredSinceMs: storedAtMs }, deps), undefined);
  assert.partialDeepStrictEqual(await archiveLog(key, { ...how, unlessStoredSinceMs: storedAtMs + 1 }, deps), { missing: 7 });
});

test('of a log whose length nobody knows what is stored is all', async () => {
  assert.partialDeepStrictEqual(await archiveLog(key, {}, setUp('abc')), { bytes: 3, missing: 0 });
  assert.partialDeepStrictEqual(await archiveLog(key, {}, setUp()), { bytes: 0, missing: 0 });
});

test('of a running log only whole segments are moved', async () => {
  const deps = setUp('abc');
  assert.equal(await archiveWhole(key, deps), 0);
  deps.store.add(key, 'defghi');
  assert.equal(await archiveWhole(key, deps), 8);
  assert.deepEqual(names(deps), ['000-004', '004-008']);
});

test('it goes on behind what was archived before, whatever was cut and purged meanwhile', async () => {
  const deps = setUp('abc', 'de');
  assert.equal(await archiveUpTo(key, 5, deps), 5);
  const seq = deps.store.add(key, '');
  deps.store.purge(seq);
  deps.store.add(key, 'fghijk');
  assert.partialDeepStrictEqual(await archiveLog(key, { total: 11 }, deps), { bytes: 11, missing: 0 });
  assert.deepEqual(names(deps), ['000-004', '004-005', '005-009', '009-011', 'end']);
  assert.equal(await archived(deps), 'abcdefghijk');
});

test('what fails half way is done by the next call', async () => {
  const deps = setUp('abcdefgh', 'ij');
  let puts = 0;
  const failing = {
    ...deps,
    objects: {
      ...deps.objects,
      put: async (...args: Parameters<typeof deps.objects.put>) => {
        if (++puts === 2) throw new Error('disk full');
        return deps.objects.put(...args);
      },
    },
  };
  await assert.rejects(archiveLog(key, { total: 10 }, failing), /disk full/);
  assert.deepEqual(names(deps), ['000-004']);
  assert.partialDeepStrictEqual(await archiveLog(key, { total: 10 }, failing), {
    bytes: 10,
    sha256: sha256(Buffer.from('abcdefghij')),
  });
});

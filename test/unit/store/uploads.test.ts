import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import { storeUpload, tidyUploads, uploadKey } from '../../../controller/store/uploads.ts';
import { tempDir } from '../../support/temp-dir.ts';

const week = 7 * 86_400_000;
const keysOf = async (objects: ReturnType<typeof fileObjects>) => {
  const found: string[] = [];
  for await (const { key } of objects.list('')) found.push(key);
  return found;
};

test('an upload is named by its SHA-256; one that breaks off leaves nothing', async () => {
  await using dir = await tempDir('uploads');
  const objects = fileObjects(dir.path);
  const upload = createHash('sha256').update('hello').digest('hex');
  assert.deepEqual(await storeUpload(objects, Readable.from([Buffer.from('hello')])), { upload, sizeBytes: 5 });
  const broken = async function* () {
    yield Buffer.from('half');
    throw new Error('lost');
  };
  await assert.rejects(storeUpload(objects, Readable.from(broken())), /lost/);
  assert.deepEqual(await keysOf(objects), [uploadKey(upload)]);
});

test('an upload goes after a week, unless an open run is in need of it', async () => {
  await using dir = await tempDir('uploads');
  const objects = fileObjects(dir.path);
  const { upload: used } = await storeUpload(objects, Readable.from([Buffer.from('used')]));
  const { upload: unused } = await storeUpload(objects, Readable.from([Buffer.from('unused')]));
  await objects.put('incoming/left', Buffer.from('x'));
  await tidyUploads(objects, (upload) => upload === used, Date.now() + week - 60_000);
  assert.deepEqual((await keysOf(objects)).sort(), ['incoming/left', uploadKey(used), uploadKey(unused)].sort());
  await tidyUploads(objects, (upload) => upload === used, Date.now() + week + 60_000);
  assert.deepEqual(await keysOf(objects), [uploadKey(used)]);
});

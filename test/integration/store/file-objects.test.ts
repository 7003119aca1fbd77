import assert from 'node:assert/strict';
import { mkdir, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileObjects } from '../../../controller/store/file-objects.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { objectsSuite } from '../../support/objects-suite.ts';
import { tempDir } from '../../support/temp-dir.ts';

objectsSuite('files', async () => {
  const dir = await tempDir('objects');
  return { objects: fileObjects(dir.path), [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
});

test('nobody else may read what is stored, whatever the umask', async () => {
  await using dir = await tempDir('objects');
  await fileObjects(dir.path).put('a/b', Buffer.from('x'));
  assert.equal((await stat(join(dir.path, 'objects/a'))).mode & 0o777, 0o700);
  assert.equal((await stat(join(dir.path, 'objects/a/b'))).mode & 0o777, 0o600);
});

test('a link in the tree leads nowhere', async () => {
  await using dir = await tempDir('objects');
  await using outside = await tempDir('outside');
  await writeFile(join(outside.path, 'secret'), 'secret');
  await mkdir(join(dir.path, 'objects'));
  await symlink(outside.path, join(dir.path, 'objects/out'));
  await symlink(join(outside.path, 'secret'), join(dir.path, 'objects/file'));
  const objects = fileObjects(dir.path);

  assert.equal(await objects.get('out/secret'), undefined);
  assert.equal(await objects.read('file'), undefined);
  await objects.remove('out/secret');
  await assert.rejects(objects.put('out/new', Buffer.from('x')), (e) => isFarmError(e, 'BAD_OBJECT_KEY'));
  await assert.rejects(objects.put('out/deep/new', Buffer.from('x')), (e) => isFarmError(e, 'BAD_OBJECT_KEY'));
  for await (const info of objects.list('')) assert.fail(`listed ${info.key}`);
  for await (const info of objects.list('out/')) assert.fail(`listed ${info.key}`);
  await objects.put('file', Buffer.from('own'));
  assert.equal(String(await objects.get('file')), 'own');

  assert.deepEqual(await readdir(outside.path), ['secret']);
});

test('a key that goes on below an object, or stands where keys go on, is refused', async () => {
  await using dir = await tempDir('objects');
  const objects = fileObjects(dir.path);
  await objects.put('a/b', Buffer.from('x'));
  await assert.rejects(objects.put('a/b/c', Buffer.from('y')), (e) => isFarmError(e, 'BAD_OBJECT_KEY'));
  await assert.rejects(objects.put('a', Buffer.from('y')), (e) => isFarmError(e, 'BAD_OBJECT_KEY'));
  assert.equal(String(await objects.get('a/b')), 'x');
  assert.deepEqual(await readdir(join(dir.path, 'tmp')), []);
});

test('what a crash left half written is swept at the next opening; what another controller writes now is not', async () => {
  await using dir = await tempDir('objects');
  await mkdir(join(dir.path, 'tmp'));
  await writeFile(join(dir.path, 'tmp/old'), 'half');
  await writeFile(join(dir.path, 'tmp/young'), 'half');
  const hourAgo = new Date(Date.now() - 3_600_000);
  await utimes(join(dir.path, 'tmp/old'), hourAgo, hourAgo);
  assert.equal(await fileObjects(dir.path).get('x'), undefined);
  assert.deepEqual(await readdir(join(dir.path, 'tmp')), ['young']);
});

test('a disk that comes back is used again', async () => {
  await using dir = await tempDir('objects');
  await writeFile(join(dir.path, 'in-the-way'), '');
  const objects = fileObjects(join(dir.path, 'in-the-way'));
  await assert.rejects(objects.get('x'));
  await rm(join(dir.path, 'in-the-way'));
  assert.equal(await objects.get('x'), undefined);
});

import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareKeys, keyParts, prefixParts } from '../../../controller/store/object-key.ts';
import { isFarmError } from '../../../protocol/errors.ts';

const isRefused = (error: unknown) => isFarmError(error, 'BAD_OBJECT_KEY');
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.array(fc.constantFrom('.', '..', '', '/', '\\', 'a', '\0'), { maxLength: 8 }).map((parts) => parts.join('/')),
);

test('a key that is accepted names a place inside the directory, and only one', () => {
  fc.assert(
    fc.property(text, (key) => {
      try {
        const parts = keyParts(key);
        const path = resolve('/top', join(...parts));
        assert.equal(path, `/top/${key}`);
      } catch (error) {
        assert.ok(isRefused(error), String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('keys that a file system would read in another way are refused', () => {
  for (const key of ['', '/', 'a/', '/a', 'a//b', '.', '..', 'a/../b', 'a/.', 'a\0b', 'a\nb', 'a\\b', '\ud800', 'x'.repeat(256)])
    assert.throws(() => keyParts(key), isRefused, JSON.stringify(key));
  assert.throws(() => keyParts(Array(300).fill('aaaa').join('/')), isRefused);
  assert.throws(() => prefixParts('../x'), isRefused);
});

test('names as test frameworks write them are accepted', () => {
  for (const key of ['a b/c:d?.xml', 'üß/☃.txt', '...', '.hidden', 'x'.repeat(255)])
    assert.deepEqual(keyParts(key), key.split('/'));
});

test('keys are ordered by their bytes, as S3 orders them', () => {
  const keys = ['\u{1f600}', '\uffee', 'a/b', 'a-b', 'a0'];
  assert.deepEqual(keys.toSorted(compareKeys), ['a-b', 'a/b', 'a0', '\uffee', '\u{1f600}']);
});

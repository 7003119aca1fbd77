import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { compareKeys } from '../../controller/store/object-key.ts';
import type { Objects } from '../../controller/store/objects.ts';
import { isFarmError } from '../../protocol/errors.ts';

export type ObjectsUnderTest = AsyncDisposable & { objects: Objects };

/**
 * What every object storage of the farm does, whatever is behind it.
 * @param create an empty one for each test
 */
export function objectsSuite(name: string, create: () => Promise<ObjectsUnderTest>): void {
  describe(`objects in ${name}`, () => {
    const keysOf = async (objects: Objects, prefix = '', options?: { after?: string }) => {
      const keys: string[] = [];
      for await (const { key } of objects.list(prefix, options)) keys.push(key);
      return keys;
    };

    test('what was put is what is got, with its size and SHA-256', async () => {
      await using it = await create();
      for (const body of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(3_000_000, 'thresh')]) {
        const put = await it.objects.put('a/b.bin', body);
        assert.deepEqual(put, { sizeBytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });
        assert.deepEqual(await it.objects.get('a/b.bin'), body);
      }
    });

    test('a stream is stored whole', async () => {
      await using it = await create();
      const pieces = Array.from({ length: 200 }, (_, i) => Buffer.alloc(7_001, i));
      const body = Buffer.concat(pieces);
      const put = await it.objects.put('streamed', Readable.from(pieces));
      assert.deepEqual(put, { sizeBytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });
      assert.deepEqual(await it.objects.get('streamed'), body);
    });

    test('a stream that breaks leaves what was there before, or nothing', async () => {
      await using it = await create();
      const broken = () =>
        Readable.from(
          (async function* () {
            yield Buffer.from('half');
            throw new Error('the sender is gone');
          })(),
        );
      await it.objects.put('old', Buffer.from('whole'));
      await assert.rejects(it.objects.put('old', broken()), /the sender is gone/);
      await assert.rejects(it.objects.put('new', broken()), /the sender is gone/);
      assert.equal(String(await it.objects.get('old')), 'whole');
      assert.equal(await it.objects.get('new'), undefined);
      assert.deepEqual(await keysOf(it.objects), ['old']);
    });

    test('a second put replaces the first, and a reader has the one or the other', async () => {
      await using it = await create();
      const [a, b] = [Buffer.alloc(500_000, 'a'), Buffer.alloc(500_000, 'b')];
      await it.objects.put('k', b);
      const writing = (async () => {
        for (let i = 0; i < 10; i++) await it.objects.put('k', i % 2 ? b : a);
      })();
      for (let i = 0; i < 10; i++) {
        const got = await it.objects.get('k');
        assert.ok(got && (got.equals(a) || got.equals(b)), 'a mixture was read');
      }
      await writing;
    });

    test('what is not there is undefined, and removing it is nothing', async () => {
      await using it = await create();
      assert.equal(await it.objects.get('no/such'), undefined);
      assert.equal(await it.objects.read('no/such'), undefined);
      await it.objects.remove('no/such');
      await it.objects.put('there/x', Buffer.from('x'));
      assert.equal(await it.objects.get('there'), undefined, 'a part of a key is no object');
      assert.equal(await it.objects.get('there/x/y'), undefined);
      await it.objects.remove('there');
      await it.objects.remove('there/x/y');
      assert.deepEqual(await keysOf(it.objects), ['there/x']);
    });

    test('removed is gone, and its neighbours stay', async () => {
      await using it = await create();
      for (const key of ['a/b/c', 'a/b/d', 'a/e']) await it.objects.put(key, Buffer.from(key));
      await it.objects.remove('a/b/c');
      assert.equal(await it.objects.get('a/b/c'), undefined);
      assert.deepEqual(await keysOf(it.objects), ['a/b/d', 'a/e']);
      await it.objects.remove('a/b/d');
      await it.objects.put('a/b', Buffer.from('now an object'));
      assert.equal(String(await it.objects.get('a/b')), 'now an object');
    });

    test('a range is read from its start to before its end', async () => {
      await using it = await create();
      await it.objects.put('digits', Buffer.from('0123456789'));
      const read = async (range?: { start: number; end?: number }) => {
        const stream = await it.objects.read('digits', range);
        assert.ok(stream);
        return text(stream);
      };
      assert.equal(await read(), '0123456789');
      assert.equal(await read({ start: 3 }), '3456789');
      assert.equal(await read({ start: 3, end: 5 }), '34');
      assert.equal(await read({ start: 0, end: 1 }), '0');
      assert.equal(await read({ start: 8, end: 100 }), '89');
      assert.equal(await read({ start: 5, end: 5 }), '');
      assert.equal(await read({ start: 10 }), '');
      assert.equal(await read({ start: 100 }), '');
    });

    test('a big object is read as a stream', async () => {
      await using it = await create();
      const body = Buffer.alloc(5_000_000, 'abc');
      await it.objects.put('big', body);
      const stream = await it.objects.read('big', { start: 1 });
      assert.ok(stream);
      assert.deepEqual(await buffer(stream), body.subarray(1));
    });

    test('a copy holds what the first held then, and each goes its own way', async () => {
      await using it = await create();
      assert.equal(await it.objects.copy('no/such', 'to'), false);
      await it.objects.put('from/a b+c', Buffer.from('first'));
      await it.objects.put('to/x', Buffer.from('old'));
      for (let i = 0; i < 2; i++) assert.equal(await it.objects.copy('from/a b+c', 'to/x'), true);
      assert.equal(String(await it.objects.get('to/x')), 'first');
      await it.objects.put('from/a b+c', Buffer.from('second'));
      assert.equal(String(await it.objects.get('to/x')), 'first');
      await it.objects.remove('from/a b+c');
      assert.equal(String(await it.objects.get('to/x')), 'first');
      assert.deepEqual(await keysOf(it.objects), ['to/x']);
    });

    test('a name may hold what a URL or XML would read in another way', async () => {
      await using it = await create();
      const keys = ['a b', 'a+b', 'a%20b', 'a%2Fb', 'a&b<c>"d', 'a#b?c=d', "é'€\u{1f600}", '\ufffe'].map((k) => `odd/${k}`);
      for (const key of keys) await it.objects.put(key, Buffer.from(key));
      assert.deepEqual(await keysOf(it.objects, 'odd/'), keys.toSorted(compareKeys));
      for (const key of keys) {
        assert.equal(String(await it.objects.get(key)), key);
        assert.equal(await it.objects.copy(key, `copy/${key}`), true, key);
        assert.equal(String(await it.objects.get(`copy/${key}`)), key);
        await it.objects.remove(key);
      }
      assert.deepEqual(await keysOf(it.objects, 'odd/'), []);
    });

    test('a stream longer than any one piece is stored whole', async () => {
      await using it = await create();
      const piece = Buffer.alloc(1_000_003, 'longer');
      const body = Buffer.concat(Array.from({ length: 21 }, () => piece));
      const put = await it.objects.put('long', Readable.from(Array.from({ length: 21 }, () => piece)));
      assert.deepEqual(put, { sizeBytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });
      const stream = await it.objects.read('long', { start: 8 * 1024 * 1024 - 5, end: 8 * 1024 * 1024 + 5 });
      assert.ok(stream);
      assert.deepEqual(await buffer(stream), body.subarray(8 * 1024 * 1024 - 5, 8 * 1024 * 1024 + 5));
    });

    test('objects are listed in the order of their keys, by prefix, and from after a key', async () => {
      await using it = await create();
      const keys = ['a-b', 'a.txt', 'a/b', 'a/c/1', 'a/c/2', 'a/c0', 'a0', 'ab/x', 'b', '\uffee', '\u{1f600}'];
      for (const key of keys.toReversed()) await it.objects.put(key, Buffer.from(key));
      const sorted = keys.toSorted(compareKeys);
      assert.deepEqual(await keysOf(it.objects), sorted);
      for (const prefix of ['a', 'a/', 'a/c', 'a/c/', 'ab', 'b', 'zz', 'a/zz', 'b/'])
        assert.deepEqual(
          await keysOf(it.objects, prefix),
          sorted.filter((k) => k.startsWith(prefix)),
          prefix,
        );
      for (const after of ['', 'a', 'a.', 'a/', 'a/b', 'a/c', 'a/c/1', 'a/c/11', 'a0', 'zz'])
        assert.deepEqual(
          await keysOf(it.objects, 'a', { after }),
          sorted.filter((k) => k.startsWith('a') && compareKeys(k, after) > 0),
          `after ${after}`,
        );
    });

    test('a listing says size and time, and may be left in the middle', async () => {
      await using it = await create();
      const before = Date.now();
      await it.objects.put('a', Buffer.from('12345'));
      await it.objects.put('b', Buffer.from('1'));
      for await (const info of it.objects.list('')) {
        assert.equal(info.key, 'a');
        assert.equal(info.sizeBytes, 5);
        assert.ok(Math.abs(info.modifiedMs - before) < 60_000, `modified ${info.modifiedMs}`);
        break;
      }
    });

    test('keys that are none are refused by every call', async () => {
      await using it = await create();
      const refused = (error: unknown) => isFarmError(error, 'BAD_OBJECT_KEY');
      for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/../../b', '.', 'a\0b', 'a\\b', '\ud800']) {
        await assert.rejects(it.objects.put(key, Buffer.from('x')), refused, JSON.stringify(key));
        await assert.rejects(it.objects.get(key), refused, JSON.stringify(key));
        await assert.rejects(it.objects.read(key), refused, JSON.stringify(key));
        await assert.rejects(it.objects.remove(key), refused, JSON.stringify(key));
      }
      await assert.rejects(keysOf(it.objects, '../'), refused);
      assert.deepEqual(await keysOf(it.objects), []);
    });

    test('many at once do not disturb each other', async () => {
      await using it = await create();
      const keys = Array.from({ length: 60 }, (_, i) => `dir-${i % 3}/sub/${String(i).padStart(2, '0')}`);
      await Promise.all(keys.map((key) => it.objects.put(key, Buffer.from(key))));
      assert.deepEqual(await keysOf(it.objects), keys.toSorted(compareKeys));
      await Promise.all(keys.flatMap((key) => [it.objects.remove(key), it.objects.put(`${key}-new`, Buffer.from(key))]));
      assert.deepEqual(await keysOf(it.objects), keys.map((k) => `${k}-new`).toSorted(compareKeys));
    });
  });
}

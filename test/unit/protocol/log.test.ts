import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { packChunk, unpackChunk } from '../../../protocol/log.ts';

test('a packed chunk unpacks to the same stream, offset, time and bytes', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.maxSafeNat(),
      fc.maxSafeNat(),
      fc.uint8Array({ maxLength: 300 }),
      (stream, offset, atMs, bytes) => {
        const got = unpackChunk(packChunk(stream, offset, atMs, bytes));
        assert.deepEqual(got && { ...got, bytes: [...got.bytes] }, { stream, offset, atMs, bytes: [...bytes] });
      },
    ),
  );
});

test('a frame too short is none', () => {
  assert.equal(unpackChunk(Buffer.alloc(19)), undefined);
  assert.equal(unpackChunk(Buffer.alloc(20))?.bytes.length, 0);
});

test('a frame whose numbers no log can have is none', () => {
  const frame = packChunk(1, 0, 0, Buffer.from('x'));
  const bigOffset = Buffer.from(frame);
  bigOffset.writeBigUInt64BE(2n ** 53n, 4);
  assert.equal(unpackChunk(bigOffset), undefined);
  const bigTime = Buffer.from(frame);
  bigTime.writeBigUInt64BE(2n ** 64n - 1n, 12);
  assert.equal(unpackChunk(bigTime), undefined);
});

test('no frame makes unpacking throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const got = unpackChunk(Buffer.from(bytes));
      if (got) assert.deepEqual(packChunk(got.stream, got.offset, got.atMs, got.bytes), Buffer.from(bytes));
    }),
  );
});

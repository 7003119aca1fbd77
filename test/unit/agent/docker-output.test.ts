import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { demultiplex, inOrder, openOrder, type Piece, type Stream } from '../../../agent/executor/docker-output.ts';
import { tempDir } from '../../support/temp-dir.ts';

const frame = (stream: Stream, bytes: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
};

async function* each<T>(all: Iterable<T>): AsyncGenerator<T> {
  yield* all;
}

/** One entry per byte, so that two cuts of the same thing are equal. */
async function flat(pieces: AsyncIterable<Piece>): Promise<string[]> {
  const all: string[] = [];
  for await (const { stream, bytes } of pieces) for (const byte of bytes) all.push(`${stream}:${byte}`);
  return all;
}

const pieces = fc.array(
  fc.record({ stream: fc.constantFrom<Stream>(1, 2), bytes: fc.uint8Array({ maxLength: 20 }).map((b) => Buffer.from(b)) }),
  { maxLength: 20 },
);

describe('the output of a container', () => {
  test('is the same however the connection cuts it', () =>
    fc.assert(
      fc.asyncProperty(pieces, fc.integer({ min: 1, max: 30 }), async (given, size) => {
        const wire = Buffer.concat(given.map((p) => frame(p.stream, p.bytes)));
        const chunks = Array.from({ length: Math.ceil(wire.length / size) }, (_, i) => wire.subarray(i * size, (i + 1) * size));
        assert.deepEqual(await flat(demultiplex(each(chunks))), await flat(each(given)));
      }),
    ));

  test('comes again from the log in the order in which it was taken, then as the log has it', () =>
    fc.assert(
      fc.asyncProperty(pieces, pieces, async (taken, later) => {
        const spans = taken.map((p) => ({ stream: p.stream, bytes: p.bytes.length }));
        // The log has both streams whole, but one after the other.
        const log = ([1, 2] as const).flatMap((stream) => taken.filter((p) => p.stream === stream));
        const again = await flat(inOrder(spans, each([...log, ...later])));
        assert.deepEqual(again, await flat(each([...taken, ...later])));
      }),
    ));

  test('of which the log has less than was taken still ends', async () => {
    const some = [{ stream: 2 as const, bytes: Buffer.from('err') }];
    assert.equal(
      (
        await flat(
          inOrder(
            [
              { stream: 1, bytes: 10 },
              { stream: 2, bytes: 3 },
            ],
            each(some),
          ),
        )
      ).length,
      3,
    );
  });
});

describe('the order of the output', () => {
  test('is there again after a crash, and takes one line per change of stream', async () => {
    await using dir = await tempDir('order');
    const file = join(dir.path, 'order');
    const first = openOrder(file);
    for (const [stream, bytes] of [
      [1, 5],
      [1, 6],
      [2, 1],
      [1, 3],
    ] as [Stream, number][])
      first.note(stream, bytes);
    // Not closed: the process is killed.
    const second = openOrder(file);
    assert.equal(second.total, 15);
    second.note(1, 10);
    second.note(2, 2);
    second.close();
    first.close();
    const third = openOrder(file);
    assert.deepEqual(third.spans(), [
      { stream: 1, bytes: 11 },
      { stream: 2, bytes: 1 },
      { stream: 1, bytes: 13 },
      { stream: 2, bytes: 2 },
    ]);
    third.close();
  });
});

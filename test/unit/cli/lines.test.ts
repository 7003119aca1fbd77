import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lineCutter } from '../../../controller/cli/lines.ts';

const cut = (pieces: readonly Buffer[], maxBytes?: number) => {
  const cutter = lineCutter(maxBytes);
  const lines = pieces.flatMap((p) => cutter.push(p));
  const rest = cutter.end();
  return rest ? [...lines, rest] : lines;
};

test('lines come out whole, the last one also without a newline', () => {
  const lines = cut([Buffer.from('on'), Buffer.from('e\n\ntwo\r\nth'), Buffer.from('ree')]);
  assert.deepEqual(
    lines.map((l) => [l.bytes.toString(), l.ended]),
    [
      ['one', true],
      ['', true],
      ['two\r', true],
      ['three', false],
    ],
  );
});

test('a line without an end does not pile up', () => {
  const cutter = lineCutter(4);
  assert.deepEqual(
    cutter.push(Buffer.from('abcdefghij')).map((l) => l.bytes.toString()),
    ['abcd', 'efgh'],
  );
  assert.equal(cutter.end()?.bytes.toString(), 'ij');
});

test('no byte is lost or added, however the pieces and lines fall', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[ab\n]{0,9}$/)), fc.integer({ min: 1, max: 8 }), (texts, maxBytes) => {
      const lines = cut(
        texts.map((t) => Buffer.from(t)),
        maxBytes,
      );
      assert.equal(lines.map((l) => l.bytes.toString() + (l.ended ? '\n' : '')).join(''), texts.join(''));
      assert.ok(lines.every((l) => l.bytes.length <= maxBytes && !l.bytes.includes(0x0a)));
    }),
  );
});

test('a caller may use its buffer again', () => {
  const cutter = lineCutter();
  const buffer = Buffer.from('abc');
  cutter.push(buffer);
  buffer.fill('x');
  assert.equal(cutter.end()?.bytes.toString(), 'abc');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LogBuffer } from '../../../ui/log/buffer.ts';
import { search } from '../../../ui/log/search.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textsOf = (buffer: LogBuffer) => Array.from({ length: buffer.length }, (_, i) => buffer.line(i)?.text);

test('lines are the same however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary', maxLength: 30 }), { maxLength: 20 }),
      fc.array(fc.nat({ max: 50 })),
      (lines, cuts) => {
        const bytes = bytesOf(lines.join('\n'));
        const [whole, cut] = [new LogBuffer(), new LogBuffer()];
        whole.push(bytes);
        let at = 0;
        for (const n of [...cuts, bytes.length]) {
          cut.push(bytes.subarray(at, at + n));
          at += n;
        }
        assert.deepEqual(textsOf(cut), textsOf(whole));
        assert.equal(cut.offset, bytes.length);
      },
    ),
  );
});

test('a line without an end is shown as far as it has come', () => {
  const buffer = new LogBuffer();
  buffer.push(bytesOf('one\ntw'));
  assert.deepEqual(textsOf(buffer), ['one', 'tw']);
  buffer.push(bytesOf('o\n'));
  assert.deepEqual(textsOf(buffer), ['one', 'two']);
});

test('a carriage return overwrites the line, one before the line end does not', () => {
  const buffer = new LogBuffer();
  buffer.push(bytesOf('10%\r50%\r100%\ndone\r\n\r'));
  assert.deepEqual(textsOf(buffer).slice(0, 2), ['100%', 'done']);
});

test('colours go on in the next line until they are taken back', () => {
  const buffer = new LogBuffer();
  buffer.push(bytesOf('\x1b[31mred\nstill\x1b[0m not\n'));
  assert.deepEqual(buffer.line(1), { text: 'still not', spans: [{ start: 0, end: 5, style: { fg: 1 } }] });
});

test('it never holds more than it may, and numbers go on', () => {
  const buffer = new LogBuffer(0, { maxLines: 100, maxChars: 100_000, maxLineChars: 50 });
  let dropped = 0;
  for (let i = 1; i <= 1_000; i += 1) dropped += buffer.push(bytesOf(`line ${i}\n`));
  assert.ok(buffer.length <= 100);
  assert.equal(buffer.length + dropped, 1_000);
  assert.equal(buffer.line(buffer.length - 1)?.text, 'line 1000');
  assert.equal(buffer.line(0)?.text, `line ${buffer.firstNumber}`);
  assert.ok(buffer.dropped);
  buffer.push(bytesOf(`${'x'.repeat(1_000)}`));
  buffer.push(bytesOf(`${'y'.repeat(1_000)}\n`));
  const last = buffer.line(buffer.length - 1);
  assert.deepEqual([last?.text.length, last?.cut], [50, 1_950]);
});

test('many characters count like many lines', () => {
  const buffer = new LogBuffer(0, { maxLines: 1_000, maxChars: 1_000 });
  for (let i = 0; i < 100; i += 1) buffer.push(bytesOf(`${'x'.repeat(99)}\n`));
  assert.ok(buffer.length <= 11, `${buffer.length} lines`);
});

test('read from the middle, the line that is cut is left out, and lines have no numbers', () => {
  const buffer = new LogBuffer(5);
  buffer.push(bytesOf('half\nwhole\n'));
  assert.deepEqual(textsOf(buffer), ['whole']);
  assert.equal(buffer.firstNumber, undefined);
  assert.ok(buffer.dropped);
});

test('a search finds every place, whatever the case', () => {
  const buffer = new LogBuffer();
  buffer.push(bytesOf('Error: no\nok\nan error, an ERROR\n'));
  assert.deepEqual(
    search(buffer, 'error').map(({ line, start }) => [line, start]),
    [
      [0, 0],
      [2, 3],
      [2, 13],
    ],
  );
  assert.deepEqual(search(buffer, ''), []);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sanitizer } from '../../../controller/cli/sanitize.ts';

const clean = (pieces: readonly Uint8Array[], colours = true): string => {
  const s = sanitizer({ colours });
  return pieces.map((p) => s.push(p)).join('') + s.end();
};
const cleanText = (text: string, colours = true): string => clean([Buffer.from(text)], colours);

/** Pieces of output that are likely to meet at awkward places. */
const piece = fc.oneof(
  fc.constantFrom(
    ...[
      '\x1b[31m',
      '\x1b[0m',
      '\x1b[1;38:2::1:2:3m',
      '\x1b[2J',
      '\x1b[?25l',
      '\x1b[>4;2m',
      '\x1b]0;title\x07',
      '\x1b]52;c;Zm9v\x1b\\',
    ],
    ...[
      '\x1bP+q\x1b\\',
      '\x1b(B',
      '\x1bc',
      '\x1b',
      '\x1b[',
      '\x1b]',
      '\x1b[31',
      '\x9b31m',
      '\x9b2J',
      '\x9d0;x\x9c',
      '\x90',
      '\x07',
      '\x08',
    ],
    ...['\r', '\n', '\t', '\r\n', 'm', '[', '\\', 'é', '漢', '😀', '\x7f', '\x18'],
  ),
  fc.string({ maxLength: 6 }),
);
const output = fc.oneof(
  fc.array(piece, { maxLength: 30 }).map((pieces) => Buffer.from(pieces.join(''))),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
);

const cutAt = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const ends = [...new Set(cuts.map((c) => c % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
};

test('text, newlines, tabs, carriage returns and colours pass', () => {
  const text = 'a\tb\r\n\x1b[31mred\x1b[0m 漢é😀\r50%\r100%\n';
  assert.equal(cleanText(text), text);
});

test('what moves, clears, titles, copies or rings does not', () => {
  for (const bad of [
    '\x1b[2J',
    '\x1b[10;3H',
    '\x1b[?1049h',
    '\x1b]0;title\x07',
    '\x1b]52;c;Zm9v\x1b\\',
    '\x1bPq#0\x1b\\',
    '\x1b_x\x1b\\',
  ])
    assert.equal(cleanText(`a${bad}b`), 'ab', JSON.stringify(bad));
  for (const bad of [
    '\x07',
    '\x08',
    '\x0b',
    '\x0c',
    '\x0e',
    '\x7f',
    '\x1bc',
    '\x1b(B',
    '\x1b7',
    '\x85',
    '\x9b2J',
    '\x9d0;t\x9c',
    '\x90q\x9c',
  ])
    assert.equal(cleanText(`a${bad}b`), 'ab', JSON.stringify(bad));
});

test('sequences that end in m and are no colours do not pass', () => {
  for (const bad of ['\x1b[>4;2m', '\x1b[?4m', '\x1b[ m', `\x1b[${'1;'.repeat(100)}m`]) assert.equal(cleanText(`a${bad}b`), 'ab');
});

test('a colour written with the one-byte introducer comes out in the usual form', () => {
  assert.equal(cleanText('\x9b31mx\x9b0m'), '\x1b[31mx\x1b[0m');
});

test('a string that is never ended does not swallow the next line', () => {
  assert.equal(cleanText('\x1b]0;half a title\nnext line\n'), '\nnext line\n');
  assert.equal(cleanText('\x1b[12\nnext\n'), '\nnext\n');
});

test('a colour that is left on is ended with the log', () => {
  assert.equal(cleanText('\x1b[31mred'), '\x1b[31mred\x1b[0m');
  assert.equal(cleanText('\x1b[31mred\x1b[m'), '\x1b[31mred\x1b[m');
});

test('without colours they go too', () => {
  assert.equal(cleanText('\x1b[31mred\x1b[0m', false), 'red');
});

test('no control comes out but newline, tab, carriage return and whole colour sequences, whatever goes in', () => {
  fc.assert(
    fc.property(output, (bytes) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
      const rest = clean([bytes]).replace(/\x1b\[[0-9;:]*m/g, '');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
      assert.doesNotMatch(rest, /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/);
    }),
    { numRuns: 2_000 },
  );
});

test('it does not matter how the bytes are cut into pieces', () => {
  fc.assert(
    fc.property(output, fc.array(fc.nat(), { maxLength: 12 }), (bytes, cuts) => {
      assert.equal(clean(cutAt(bytes, cuts)), clean([bytes]));
    }),
    { numRuns: 2_000 },
  );
});

test('text without controls comes out as it went in', () => {
  fc.assert(
    // Lone surrogates cannot be written as UTF-8 and would be replaced before they came here.
    fc.property(
      fc.string({ unit: 'grapheme' }).filter((t) => !/\p{Cc}/u.test(t) && t.isWellFormed()),
      (text) => {
        assert.equal(cleanText(text), text);
      },
    ),
  );
});

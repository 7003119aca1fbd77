import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { paletteColour, parseAnsi } from '../../../ui/log/ansi.ts';
import { piecesOf } from '../../../ui/log/pieces.ts';

const cases: [what: string, raw: string, text: string, styles: object[]][] = [
  ['plain text', 'plain', 'plain', []],
  ['a colour and its end', '\x1b[32mgo\x1b[0m on', 'go on', [{ fg: 2 }]],
  ['bold and bright', '\x1b[1;91mno', 'no', [{ bold: true, fg: 9 }]],
  ['a background', '\x1b[44mblue\x1b[49m none', 'blue none', [{ bg: 4 }]],
  ['256 colours', '\x1b[38;5;208morange', 'orange', [{ fg: 208 }]],
  ['all colours', '\x1b[38;2;255;128;0morange', 'orange', [{ fg: '#ff8000' }]],
  ['a colour that is none', '\x1b[38;2;999;0;0mx\x1b[38;5;300mx', 'xx', []],
  ['what moves the cursor', 'a\x1b[2Kb\x1b[1Ac\x1b]0;title\x07d\x1b(B', 'abcd', []],
  ['a link', '\x1b]8;;https://x.org\x1b\\text\x1b]8;;\x1b\\', 'text', []],
  ['control characters', 'a\x00b\x08c\td\x7f', 'abc\td', []],
  ['what is cut off', 'a\x1b[3', 'a', []],
];
for (const [what, raw, text, styles] of cases)
  test(`${what} is understood`, () => {
    const parsed = parseAnsi(raw);
    assert.equal(parsed.text, text);
    assert.deepEqual(
      parsed.spans.map((s) => s.style),
      styles,
    );
  });

test('what reorders text is shown as a sign of its own', () => {
  assert.equal(parseAnsi('a\u202eb\u2028').text, 'a\ufffdb\ufffd');
});

test('whatever is printed, no control character is left and the spans fit the text', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\x1b[', '31', 'm', ';', '\x1b]', '\x07', '\x1b', '38;5;'),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const { text, spans } = parseAnsi(pieces.join(''));
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those must not be there
      assert.doesNotMatch(text, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
      let at = 0;
      for (const { start, end } of spans) {
        assert.ok(start >= at && end > start && end <= text.length);
        at = end;
      }
      assert.equal(
        piecesOf(text, spans, [])
          .map((p) => p.text)
          .join(''),
        text,
      );
    }),
  );
});

test('the palette is the usual one', () => {
  assert.deepEqual([16, 21, 196, 231, 232, 255].map(paletteColour), [
    '#000000',
    '#0000ff',
    '#ff0000',
    '#ffffff',
    '#080808',
    '#eeeeee',
  ]);
});

test('a line is cut where its style changes and where something was found', () => {
  const pieces = piecesOf('abcdef', [{ start: 1, end: 4, style: { bold: true } }], [{ start: 3, end: 5, current: true }]);
  assert.deepEqual(pieces, [
    { text: 'a' },
    { text: 'bc', style: { bold: true } },
    { text: 'd', style: { bold: true }, found: 'current' },
    { text: 'e', found: 'current' },
    { text: 'f' },
  ]);
});

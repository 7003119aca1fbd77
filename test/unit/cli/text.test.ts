import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ago, cut, duration, plain, safeJson, widthOf } from '../../../controller/cli/text.ts';

test('durations have two units at most', () => {
  const said = [0, 850, 4_200, 9_990, 59_999, 125_000, 3_600_000, 11_220_000, 187_200_000].map(duration);
  assert.deepEqual(said, ['0ms', '850ms', '4.2s', '10s', '1m 00s', '2m 05s', '1h 00m', '3h 07m', '2d 04h']);
});

test('ages have one unit, and clocks that differ are no reason for a negative one', () => {
  const said = [-5_000, 500, 12_000, 300_000, 7_200_000, 259_200_000].map((ms) => ago(1_000_000_000 - ms, 1_000_000_000));
  assert.deepEqual(said, ['now', 'now', '12s ago', '5m ago', '2h ago', '3d ago']);
});

test('a name from elsewhere cannot steer the terminal, nor turn the text around', () => {
  assert.equal(plain('a\x1b[2Jb\x9bc\u202ed\x07'), 'a?[2Jb?c?d?');
  assert.equal(plain('two\r\nlines\tand a tab'), 'two lines and a tab');
});

test('JSON for scripts cannot steer a terminal either, and reads back the same', () => {
  const value = { text: 'a\x1b[2J\x9b2J\x7f\u202e\u2028 é漢' };
  assert.match(safeJson(value), /^[^\p{Cc}\p{Zl}\u202e]*$/u);
  assert.deepEqual(JSON.parse(safeJson(value, 2)), value);
});

test('wide characters count twice, combining ones not at all', () => {
  assert.equal(widthOf('abc'), 3);
  assert.equal(widthOf('漢字'), 4);
  assert.equal(widthOf('e\u0301'), 1);
  assert.equal(widthOf('👩‍👩‍👧'), 2);
});

test('cut text is never wider than asked', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 20 }), (text, width) => {
      assert.ok(widthOf(cut(text, width)) <= width);
    }),
  );
  assert.equal(cut('abcdef', 4), 'abc…');
  assert.equal(cut('abcd', 4), 'abcd');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isToken, toToken } from '../../../protocol/token.ts';

test('what is a token stays as it is', () => {
  assert.equal(toToken('72d3162e-cc78-11e3'), '72d3162e-cc78-11e3');
});

test('what is none becomes one: dots, wildcards, spaces, line ends, too much, nothing', () => {
  for (const id of ['a.b', '*', '>', 'a b', 'a\n', 'ü', '', 'x'.repeat(65), '../..']) {
    assert.equal(isToken(id), false, JSON.stringify(id));
    assert.match(toToken(id), /^h-[0-9a-f]{40}$/);
  }
});

test('any text becomes a token, always the same one, and different texts different ones', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), fc.string({ maxLength: 100 }), (a, b) => {
      assert.equal(isToken(toToken(a)), true);
      assert.equal(toToken(a), toToken(a));
      if (a !== b) assert.notEqual(toToken(a), toToken(b));
    }),
  );
});

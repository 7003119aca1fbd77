import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesText, parseQuantity } from '../../../protocol/quantity.ts';

test('a quantity of Kubernetes is a number', () => {
  const known: [string | number, number][] = [
    ['512Mi', 536_870_912],
    ['1.5', 1.5],
    [2, 2],
    ['500m', 0.5],
    ['1e9', 1e9],
    ['2E3', 2_000],
    ['1E', 1e18],
    ['.5Gi', 2 ** 29],
    ['+1k', 1_000],
  ];
  for (const [text, value] of known) assert.equal(parseQuantity(text), value, String(text));
});

test('anything else is none', () => {
  for (const text of ['', '512MB', '-1', '0', '0Mi', 'Mi', '1 Gi', '1e999', 'NaN', '1KI', '0x10', '1.2.3'])
    assert.equal(parseQuantity(text), undefined, text);
});

test('bytes are said in the largest unit that divides them', () => {
  assert.deepEqual([2 ** 30, 512 * 2 ** 20, 1_000_000].map(bytesText), ['1Gi', '512Mi', '1000000 bytes']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scaleFor } from '../../../controller/store/streams.ts';
import { streams } from '../../../protocol/streams.ts';

const wanted = streams.reduce((sum, s) => sum + s.maxBytes, 0);

test('on a big disk, or where nobody knows, streams get what they want', () => {
  assert.equal(scaleFor(streams, {}, Number.POSITIVE_INFINITY), 1);
  assert.equal(scaleFor(streams, {}, wanted), 1);
});

test('scaled down they never want more together than there is', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 * wanted }), fc.integer({ min: 0, max: wanted }), (budget, runs) => {
      const scale = scaleFor(streams, { maxBytes: { RUNS: runs } }, budget);
      const sum = streams.reduce((all, s) => all + (s.name === 'RUNS' ? runs : s.maxBytes * scale), 0);
      assert.ok(scale >= 0 && scale <= 1);
      assert.ok(sum <= Math.max(budget, runs) + 1);
    }),
  );
});

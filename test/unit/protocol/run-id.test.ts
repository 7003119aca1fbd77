import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { later } from '../../../protocol/farm.ts';
import { mintedAtMs, mintRunId } from '../../../protocol/run-id.ts';

const now = Date.UTC(2026, 10, 21);

test('a run id has 19 digits and tells when it was minted', () => {
  const id = mintRunId('0', now);
  assert.match(id, /^[0-9]{19}$/);
  assert.equal(mintedAtMs(id), now);
});

test('two ids of the same millisecond differ and grow', () => {
  const first = mintRunId('0', now);
  const second = mintRunId(first, now);
  assert.equal(later(second, first), true);
  assert.equal(mintedAtMs(second), now);
});

test('ids grow whatever the clock says, even before the epoch of the ids', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 4_102_444_800_000 }), { minLength: 1 }), (clock) => {
      let last = '0';
      for (const nowMs of clock) {
        const id = mintRunId(last, nowMs);
        assert.match(id, /^[1-9][0-9]*$/);
        assert.ok(BigInt(id) > BigInt(last));
        assert.equal(later(id, last), true);
        last = id;
      }
    }),
  );
});

test('later agrees with the numbers', () => {
  const digits = fc.bigInt({ min: 0n, max: 10n ** 20n });
  fc.assert(fc.property(digits, digits, (a, b) => assert.equal(later(`${a}`, `${b}`), a > b)));
});

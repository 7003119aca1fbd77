import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chain, parseSegment, segmentOf } from '../../../controller/logs/segments.ts';

const key = { run: '12', step: 'unit', attempt: 3 };
const at = (start: number, end: number) => segmentOf(key, start, end);

test('the name of a segment tells its offsets, and sorts by them', () => {
  const segment = at(8_388_608, 16_777_216);
  assert.equal(segment.key, 'logs/12/unit/3/0000000008388608-0000000016777216');
  assert.deepEqual(parseSegment(segment.key), segment);
  for (const other of ['logs/12/unit/3/end', 'logs/12/unit/3/1-2', 'logs/12/unit/3/0000000000000002-0000000000000002'])
    assert.equal(parseSegment(other), undefined);
});

test('a chain ends before the first gap', () => {
  assert.deepEqual(chain([at(0, 4), at(4, 6), at(8, 9)]), [at(0, 4), at(4, 6)]);
  assert.deepEqual(chain([at(4, 6)]), []);
});

test('of segments that two leaders cut differently each byte is taken once', () => {
  assert.deepEqual(chain([at(0, 4), at(0, 6), at(4, 8), at(6, 7)]), [at(0, 6), at(4, 8)]);
});

test('for any segments the chain covers exactly what is covered from the start without a gap', () => {
  const segment = fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 8 })).map(([start, size]) => at(start, start + size));
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 12 }), (segments) => {
      let covered = 0;
      while (segments.some((s) => s.start <= covered && covered < s.end)) covered++;
      const chained = chain(segments);
      assert.equal(chained.at(-1)?.end ?? 0, covered);
      chained.forEach((s, i) => {
        assert.ok(s.start <= (chained[i - 1]?.end ?? 0) && s.end > (chained[i - 1]?.end ?? 0));
      });
    }),
  );
});

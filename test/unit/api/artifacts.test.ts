import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rangeOf } from '../../../controller/api/artifacts.ts';

test('one range of bytes is understood; others mean the whole file', () => {
  const cases: [header: string | undefined, size: number, range: ReturnType<typeof rangeOf>][] = [
    [undefined, 10, undefined],
    ['bytes=0-', 10, { start: 0, end: 10 }],
    ['bytes=3-4', 10, { start: 3, end: 5 }],
    ['bytes=9-99', 10, { start: 9, end: 10 }],
    ['bytes=-3', 10, { start: 7, end: 10 }],
    ['bytes=-99', 10, { start: 0, end: 10 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=5-3', 10, undefined],
    ['bytes=-', 10, undefined],
    ['bytes=0-1,3-4', 10, undefined],
    ['lines=1-2', 10, undefined],
  ];
  for (const [header, size, range] of cases) assert.deepEqual(rangeOf(header, size), range, `${header} of ${size}`);
});

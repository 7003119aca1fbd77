import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureOf } from '../../../controller/github/failure.ts';

const thrown = (status: number, message: string, headers: Record<string, string> = {}) =>
  Object.assign(new Error(message), { status, response: { headers } });
const nowMs = 1_000_000_000;

test('a limit is told from a refusal, with how long GitHub asks to wait', () => {
  const secondary = 'You have exceeded a secondary rate limit';
  const reset = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(nowMs / 1_000 + 90) };
  const cases: [Error, object][] = [
    [thrown(403, secondary, { 'retry-after': '30' }), { kind: 'limited', waitMs: 30_000 }],
    [thrown(429, 'slow down', { 'retry-after': '0' }), { kind: 'limited', waitMs: 0 }],
    [thrown(403, 'API rate limit exceeded', reset), { kind: 'limited', waitMs: 90_000 }],
    [thrown(403, secondary), { kind: 'limited' }],
    [thrown(429, ''), { kind: 'limited' }],
    [
      thrown(403, 'Resource not accessible by integration', { 'x-ratelimit-remaining': '4999' }),
      { kind: 'refused', status: 403 },
    ],
    [thrown(404, 'Not Found'), { kind: 'refused', status: 404 }],
    [thrown(422, 'Validation Failed'), { kind: 'refused', status: 422 }],
    [thrown(401, 'Bad credentials'), { kind: 'away', status: 401 }],
    [thrown(502, 'Server Error'), { kind: 'away', status: 502 }],
    [Object.assign(new Error('connect ECONNREFUSED'), { status: 500 }), { kind: 'away' }],
    [new TypeError('fetch failed'), { kind: 'away' }],
  ];
  for (const [error, expected] of cases)
    assert.deepEqual({ ...failureOf(error, nowMs), detail: '' }, { ...expected, detail: '' }, error.message);
});

test('an error page becomes one short line', () => {
  const { detail } = failureOf(thrown(502, `<html>\n${'x'.repeat(10_000)}`), nowMs);
  assert.ok(detail.length <= 300 && !detail.includes('\n'));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mustHoldStill, whyKill } from '../../../agent/watch-rules.ts';

const step = { step: 'build', attempt: 2, stopsOnLeaseLoss: false };
const at = { nowMs: 100_000, heardMs: 99_000, leaseMs: 20_000 };

test('a step goes on while its own mark is the newest', () => {
  assert.equal(whyKill(step, ['build.1', 'build.1.over', 'build.2', 'test.7'], at), undefined);
});

test('a step is killed once a newer attempt is marked, or its workspace is gone', () => {
  assert.match(whyKill(step, ['build.2', 'build.3'], at) ?? '', /attempt 3/);
  assert.match(whyKill(step, ['build.10', 'build.2'], at) ?? '', /attempt 10/);
  assert.match(whyKill(step, ['build.1'], at) ?? '', /removed/);
  assert.match(whyKill(step, [], at) ?? '', /removed/);
  assert.match(whyKill(step, 'gone', at) ?? '', /removed/);
});

test('what is not known of a storage kills nothing', () => {
  assert.equal(whyKill(step, undefined, { ...at, heardMs: 0 }), undefined);
});

test('a step that must not run twice is dead two seconds before its attempt is given away', () => {
  const careful = { ...step, stopsOnLeaseLoss: true };
  const heard = { heardMs: 0, leaseMs: 20_000 };
  assert.equal(whyKill(careful, undefined, { ...heard, nowMs: 17_999 }), undefined);
  assert.match(whyKill(careful, undefined, { ...heard, nowMs: 18_000 }) ?? '', /on_lease_loss/);
});

test('a step holds still when neither a controller nor its storage answers, and not when only one of them is away', () => {
  const cutOff = { nowMs: 30_000, heardMs: 0, leaseMs: 20_000 };
  assert.equal(mustHoldStill(20_000, cutOff), true);
  assert.equal(mustHoldStill(undefined, cutOff), false);
  assert.equal(mustHoldStill(29_000, cutOff), false);
  assert.equal(mustHoldStill(20_000, { ...cutOff, heardMs: 29_000 }), false);
});

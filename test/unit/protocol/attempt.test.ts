import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AttemptEvent, type AttemptState, advanceAttempt, isOpen } from '../../../protocol/attempt.ts';

const events: AttemptEvent[] = ['start', 'pass', 'fail', 'error', 'cancel', 'stopped', 'return', 'expire'];
const closed: AttemptState[] = ['passed', 'failed', 'errored', 'cancelled', 'returned', 'lost'];

test('an attempt that runs to its end passes', () => {
  assert.equal(advanceAttempt(advanceAttempt('assigned', 'start'), 'pass'), 'passed');
});

test('an end that is heard before its start counts', () => {
  assert.equal(advanceAttempt('assigned', 'fail'), 'failed');
});

test('a stopping attempt is cancelled by any end but a pass or a loss', () => {
  const ends = events.map((e) => `${e} ${advanceAttempt('stopping', e)}`);
  assert.deepEqual(ends, [
    'start stopping',
    'pass passed',
    'fail cancelled',
    'error cancelled',
    'cancel stopping',
    'stopped cancelled',
    'return cancelled',
    'expire lost',
  ]);
});

test('an attempt that is over stays as it is', () => {
  for (const state of closed)
    for (const event of events) {
      assert.equal(advanceAttempt(state, event), state);
      assert.equal(isOpen(state), false);
    }
});

test('whatever happens, an attempt is open until one event closes it, and never again', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...events)), (happened) => {
      let state: AttemptState = 'assigned';
      let closings = 0;
      for (const event of happened) {
        const after: AttemptState = advanceAttempt(state, event);
        if (isOpen(state) && !isOpen(after)) closings++;
        else if (!isOpen(state)) assert.equal(after, state);
        state = after;
      }
      assert.equal(closings, isOpen(state) ? 0 : 1);
    }),
  );
});

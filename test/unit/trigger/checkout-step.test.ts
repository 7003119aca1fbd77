import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withCheckout } from '../../../controller/trigger/checkout-step.ts';
import { step } from './given.ts';

test('what needed nothing needs the checkout; the rest stays as it is', () => {
  const steps = [
    { ...step, name: 'a', queue: 'gpu' },
    { ...step, name: 'b', needs: ['a'] },
    { ...step, name: 'c', finally: true },
  ];
  const [checkout, ...others] = withCheckout(steps);
  assert.equal(checkout?.builtin, 'checkout');
  assert.equal(checkout?.queue, 'gpu');
  assert.deepEqual(checkout?.needs, []);
  assert.deepEqual(
    others.map((s) => s.needs),
    [['checkout'], ['a'], []],
  );
});

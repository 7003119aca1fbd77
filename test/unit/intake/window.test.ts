import assert from 'node:assert/strict';
import { test } from 'node:test';
import { window } from '../../../controller/intake/window.ts';

test('no more are under way than there are places; the next in order gets the place that is given back', async () => {
  const w = window(2);
  const order: string[] = [];
  await Promise.all([w.take(0), w.take(0)]);
  const waiting = ['third', 'fourth'].map((name) => w.take(10_000).then((got) => order.push(`${name} ${got}`)));
  w.give();
  await waiting[0];
  assert.deepEqual(order, ['third true']);
  w.give();
  await waiting[1];
  assert.deepEqual(order, ['third true', 'fourth true']);
});

test('who waits too long gets no place, and takes none from those behind', async () => {
  const w = window(1);
  await w.take(0);
  assert.equal(await w.take(1), false);
  const next = w.take(10_000);
  w.give();
  assert.equal(await next, true);
});

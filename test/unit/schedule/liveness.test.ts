import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Liveness } from '../../../controller/schedule/liveness.ts';
import { beatWith } from '../../support/beats.ts';

const times = { silentMs: 9_000, leaseMs: 20_000, takeoverMs: 3_000 };
const beat = beatWith();

/** One that has ticked every half second since it took over at 0. */
const ticked = (toMs: number, liveness = new Liveness(times, 0), fromMs = 0): Liveness => {
  for (let ms = fromMs; ms <= toMs; ms += 500) liveness.tick(ms);
  return liveness;
};

test('an agent that beats is live; after 9 s without a beat it is silent, after 20 s lost', () => {
  const liveness = ticked(10_000);
  liveness.beat('a', beat, 0, false, 10_000);
  ticked(40_000, liveness, 10_000);
  assert.deepEqual([liveness.isLive('a', 19_000), liveness.isSilent('a', 19_000)], [true, false]);
  assert.deepEqual([liveness.isLive('a', 19_001), liveness.isSilent('a', 19_001)], [false, true]);
  assert.deepEqual([liveness.isLost('a', 30_000), liveness.isLost('a', 30_001)], [false, true]);
});

test('an agent that this leader never heard is given nothing, and has its lease from the take-over and a grace on', () => {
  const liveness = ticked(30_000);
  assert.equal(liveness.isLive('a', 100), false);
  assert.deepEqual([liveness.isSilent('a', 12_000), liveness.isSilent('a', 12_001)], [false, true]);
  assert.deepEqual([liveness.isLost('a', 23_000), liveness.isLost('a', 23_001)], [false, true]);
});

test('a pause of the leader is not the silence of its agents', () => {
  const liveness = ticked(10_000);
  liveness.beat('a', beat, 0, false, 10_000);
  // It stood still for half a minute.
  liveness.tick(40_000);
  assert.deepEqual([liveness.isSilent('a', 49_000), liveness.isLost('a', 60_000)], [false, false]);
  assert.deepEqual([liveness.isSilent('a', 49_001), liveness.isLost('a', 60_001)], [true, true]);
  assert.equal(liveness.isLive('a', 40_000), false, 'nothing new before it is heard again');
});

test('a slow tick is no pause', () => {
  const liveness = ticked(10_000);
  liveness.beat('a', beat, 0, false, 10_000);
  for (let ms = 11_000; ms <= 31_000; ms += 1_000) liveness.tick(ms);
  assert.equal(liveness.isLost('a', 30_001), true);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../../../controller/schedule/outbox.ts';

const key = (run: number) => ({ run: String(run), step: 'main', attempt: 1 });
const beats = () => true;

/** What is due at that time, by run. */
const due = (outbox: Outbox, nowMs: number, heard: (agent: string) => boolean = beats) => {
  const { again, giveUp } = outbox.due(nowMs, heard);
  return { again: again.map((k) => k.run), giveUp: giveUp.map((k) => k.run) };
};

test('a task that its agent does not name is published again, three times in all, then given up', () => {
  const outbox = new Outbox(5_000);
  outbox.put('a', key(1), 0);
  assert.deepEqual(due(outbox, 4_999), { again: [], giveUp: [] });
  assert.deepEqual(due(outbox, 5_000), { again: ['1'], giveUp: [] });
  assert.deepEqual(due(outbox, 9_999), { again: [], giveUp: [] });
  assert.deepEqual(due(outbox, 10_000), { again: ['1'], giveUp: [] });
  assert.deepEqual(due(outbox, 15_000), { again: [], giveUp: ['1'] });
  assert.deepEqual(due(outbox, 99_000), { again: [], giveUp: [] });
});

test('a task that its agent has named, or that is over, is not due any more', () => {
  const outbox = new Outbox(5_000);
  outbox.put('a', key(1), 0);
  outbox.put('a', key(2), 0);
  outbox.named('a', key(1), 100);
  outbox.drop(key(2));
  assert.deepEqual(due(outbox, 60_000), { again: [], giveUp: [] });
});

test('what another agent names is still to be taken by the one that it was given to', () => {
  const outbox = new Outbox(5_000);
  outbox.put('a', key(1), 0);
  outbox.named('b', key(1), 100);
  assert.deepEqual(due(outbox, 5_000), { again: ['1'], giveUp: [] });
});

test('silent agents are left to their lease', () => {
  const outbox = new Outbox(5_000);
  outbox.put('a', key(1), 0);
  outbox.put('b', key(2), 0);
  assert.deepEqual(
    due(outbox, 60_000, (agent) => agent === 'b'),
    { again: ['2'], giveUp: [] },
  );
});

test('a slow agent that takes its tasks one after the other loses none of them', () => {
  const outbox = new Outbox(5_000);
  for (let run = 1; run <= 20; run += 1) outbox.put('a', key(run), 0);
  for (let run = 1; run <= 20; run += 1) {
    assert.deepEqual(due(outbox, run * 4_000 - 1), { again: [], giveUp: [] });
    outbox.named('a', key(run), run * 4_000);
  }
});

test('a task that was passed over is due although its agent goes on with those behind it', () => {
  const outbox = new Outbox(5_000);
  for (let run = 1; run <= 3; run += 1) outbox.put('a', key(run), 0);
  outbox.named('a', key(2), 4_000);
  assert.deepEqual(due(outbox, 5_000), { again: ['1'], giveUp: [] });
  outbox.named('a', key(3), 8_000);
  // Published again, it stands behind the third, which was taken at 8 s.
  assert.deepEqual(due(outbox, 12_999), { again: [], giveUp: [] });
  assert.deepEqual(due(outbox, 13_000), { again: ['1'], giveUp: [] });
});

test('an agent that has stopped taking tasks is not excused by another that goes on', () => {
  const outbox = new Outbox(5_000);
  outbox.put('a', key(1), 0);
  outbox.put('b', key(2), 0);
  outbox.put('a', key(3), 0);
  outbox.named('b', key(2), 4_000);
  assert.deepEqual(due(outbox, 5_000).again, ['1', '3']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { artifactRight } from '../../../controller/results/right.ts';
import { applyToRun, openRun, type Run, type RunEvent } from '../../../protocol/run.ts';
import { newRun } from '../../support/runs.ts';

const assigned = (attempt: number, agent: string): RunEvent => ({ type: 'assigned', step: 'test', attempt, agent, atMs: 1 });
const given = (...events: RunEvent[]): Run => events.reduce(applyToRun, openRun(newRun()));
const rightOf = (run: Run | undefined, agent: string, attempt: number) =>
  artifactRight(() => run, agent, { run: '1700000000000000001', step: 'test', attempt });

test('an agent may send the artifacts of its own open attempt', () => {
  assert.equal(rightOf(given(assigned(1, 'a1')), 'a1', 1), 'open');
  assert.equal(rightOf(given(assigned(1, 'a1')), 'a2', 1), 'over');
});

test('a stale attempt may send nothing: it was lost, or has ended, or another took its place', () => {
  const lost = { type: 'attempt', step: 'test', attempt: 1, event: 'expire', atMs: 2 } as const;
  assert.equal(rightOf(given(assigned(1, 'a1'), lost), 'a1', 1), 'over');
  const again = given(assigned(1, 'a1'), lost, { type: 'ready', step: 'test', atMs: 3 }, assigned(2, 'a2'));
  assert.equal(rightOf(again, 'a1', 1), 'over');
  assert.equal(rightOf(again, 'a1', 2), 'over');
  assert.equal(rightOf(again, 'a2', 2), 'open');
  const passed = { type: 'attempt', step: 'test', attempt: 1, event: 'pass', atMs: 2 } as const;
  assert.equal(rightOf(given(assigned(1, 'a1'), passed), 'a1', 1), 'over');
});

test('what this replica has not heard of is not refused yet', () => {
  assert.equal(rightOf(undefined, 'a1', 1), 'unknown');
  assert.equal(rightOf(given(), 'a1', 1), 'unknown');
  assert.equal(rightOf(given(assigned(1, 'a1')), 'a1', 2), 'unknown');
});

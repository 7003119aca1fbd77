import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../../protocol/dag.ts';
import type { Lost } from '../../../protocol/job.ts';
import { openRun } from '../../../protocol/run.ts';
import { newRun } from '../../support/runs.ts';

const step = (name: string, needs: string[]) => ({
  name,
  needs,
  when: 'success' as const,
  finally: false,
  retries: 0,
  queue: 'default',
});

/** A run on a shared workspace whose second step loses its agent. */
function afterLoss(lost?: Lost) {
  let run = openRun(newRun([step('a', []), step('b', ['a'])], { workspace: 'shared', ...(lost ? { lost } : {}) }));
  const given = (name: string) => decide(run, { type: 'assigned', step: name, attempt: 1, agent: 'x', atMs: 1 }, 1).run;
  run = given('a');
  run = decide(run, { type: 'attempt', step: 'a', attempt: 1, event: 'pass', atMs: 2 }, 2).run;
  run = given('b');
  return decide(run, { type: 'attempt', step: 'b', attempt: 1, event: 'expire', atMs: 3, end: { message: 'gone' } }, 3).run;
}

test('a lost agent costs a run with a shared workspace the step alone, unless its job says more', () => {
  for (const lost of [undefined, 'step'] as const) {
    const run = afterLoss(lost);
    assert.deepEqual([run.round, ...run.at.map((s) => s.state)], [1, 'passed', 'ready']);
  }
});

test('with lost: round the run starts again in a fresh workspace', () => {
  const run = afterLoss('round');
  assert.deepEqual([run.round, ...run.at.map((s) => s.state)], [2, 'ready', 'waiting']);
});

test('with lost: fail the run has ended', () => {
  const run = afterLoss('fail');
  assert.deepEqual([run.state, run.round, ...run.at.map((s) => s.state)], ['errored', 1, 'passed', 'errored']);
});

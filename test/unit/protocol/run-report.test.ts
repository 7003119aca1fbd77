import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyToRun, openRun, type RunEvent } from '../../../protocol/run.ts';
import { newRun } from '../../support/runs.ts';

const reported = (outcome: 'made' | 'given-up'): RunEvent => ({ type: 'reported', outcome, sha: 'a', context: 'unit', atMs: 5 });

test('what became of the report is told once, after the end and before the run is put away', () => {
  const open = openRun(newRun());
  assert.equal(applyToRun(open, reported('made')), open);
  const ended = applyToRun(open, { type: 'finished', state: 'passed', reason: 'all steps passed', atMs: 4 });
  const told = applyToRun(ended, reported('made'));
  assert.deepEqual(told.report, { outcome: 'made', sha: 'a', context: 'unit', atMs: 5 });
  assert.equal(applyToRun(told, reported('given-up')), told);
  const archived = applyToRun(ended, { type: 'archived' });
  assert.equal(applyToRun(archived, reported('made')), archived);
});

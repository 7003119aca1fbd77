import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldNews, type RunNews } from '../../../protocol/live.ts';
import { openRun, type Run } from '../../../protocol/run.ts';
import { newRun } from '../../support/runs.ts';

type Told = Exclude<RunNews, { type: 'error' }>;
const run = openRun(newRun());
const step = run.at[0]?.name ?? '';
const assigned: Told = { type: 'events', n: 2, events: [{ type: 'assigned', step, attempt: 1, agent: 'a1', atMs: 5 }] };

test('events are folded as the controller folds them', () => {
  const after = foldNews(run, assigned);
  assert.equal(after?.at[0]?.state, 'running');
  assert.equal(after?.n, 2);
});

test('what is known already changes nothing', () => {
  const after = foldNews(run, assigned) as Run;
  assert.equal(foldNews(after, assigned), after);
  assert.equal(foldNews(after, { type: 'run', run }), after);
});

test('when something is missing the page begins again', () => {
  assert.equal(foldNews(undefined, assigned), undefined);
  assert.equal(foldNews(run, { ...assigned, n: 3 }), undefined);
  assert.equal(foldNews(undefined, { type: 'run', run }), run);
});

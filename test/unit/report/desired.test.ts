import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desiredStatus, placeKey } from '../../../controller/report/desired.ts';
import { openRun, type Run } from '../../../protocol/run.ts';
import { newRun, pullRefs } from '../../support/runs.ts';

const refs = pullRefs('octo/hello', 7);
const run = (over: Partial<Run> = {}): Run => ({
  ...openRun(newRun(undefined, { type: 'presubmit', refs, context: 'unit' })),
  ...over,
});
const ended = (state: Run['state'], reason: string) => run({ state, reason, startedAtMs: 60_000, endedAtMs: 60_000 + 192_000 });

test('each state of a run has its word on GitHub', () => {
  const said = (r: Run) => {
    const status = desiredStatus(r, 'https://ci.example.org');
    return [status?.state, status?.description];
  };
  assert.deepEqual(said(run()), ['pending', 'Queued.']);
  assert.deepEqual(said(run({ state: 'running', startedAtMs: Date.UTC(2026, 0, 1, 9, 5) })), [
    'pending',
    'Running since 09:05 UTC.',
  ]);
  assert.deepEqual(said(run({ state: 'stopping' })), ['pending', 'Being cancelled.']);
  assert.deepEqual(said(ended('passed', 'all steps passed')), ['success', 'Passed after 3 min 12 s.']);
  assert.deepEqual(said(ended('failed', "step 'unit' failed: exit code 1")), [
    'failure',
    "Failed after 3 min 12 s: step 'unit' failed: exit code 1",
  ]);
  assert.deepEqual(said(ended('errored', 'no image')), ['error', 'Error after 3 min 12 s: no image']);
  assert.deepEqual(said(ended('cancelled', 'cancelled by anna: wrong branch')), ['failure', 'Cancelled by anna: wrong branch']);
});

test('it stands at the head of the pull request, or at the commit that was pushed, and leads to the run', () => {
  const ofPull = desiredStatus(run(), 'https://ci.example.org/');
  assert.equal(ofPull?.sha, refs.pulls[0]?.sha);
  assert.equal(ofPull?.targetUrl, 'https://ci.example.org/runs/1700000000000000001');
  const ofPush = desiredStatus(run({ type: 'postsubmit', refs: { ...refs, pulls: [] } }), '');
  assert.equal(ofPush?.sha, refs.baseSha);
});

test('runs that are about no one commit, and those that say so, are not reported', () => {
  const { baseSha: _, ...noSha } = refs;
  const { refs: __, ...noRefs } = run();
  const [pull] = refs.pulls;
  assert.ok(pull);
  const unreported: Run[] = [
    run({ skipReport: true }),
    noRefs,
    run({ type: 'postsubmit', refs: { ...noSha, pulls: [] } }),
    run({ type: 'batch', refs: { ...refs, pulls: [pull, { ...pull, number: 8 }] } }),
    run({ refs: { ...refs, pulls: [pull, { ...pull, number: 8 }] } }),
    run({ type: 'periodic' }),
    run({ type: 'manual' }),
  ];
  for (const r of unreported) assert.equal(desiredStatus(r, ''), undefined);
});

test('a long reason with strange characters becomes one line that GitHub takes', () => {
  const status = desiredStatus(ended('failed', `a\nb\u0000\u001b[31m${'🚀'.repeat(200)}`), '');
  assert.ok(status);
  assert.ok(status.description.length <= 140);
  assert.match(status.description, /^Failed after 3 min 12 s: a b \[31m🚀.*…$/u);
  assert.ok(status.description.isWellFormed());
});

test('names and contexts that GitHub takes for the same are one place', () => {
  const place = { org: 'Octo', repo: 'Hello', sha: 'a'.repeat(40), context: 'Unit' };
  assert.equal(placeKey(place), placeKey({ ...place, org: 'octo', repo: 'hello', context: 'unit' }));
  assert.notEqual(placeKey(place), placeKey({ ...place, context: 'unit2' }));
});

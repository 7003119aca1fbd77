import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunSummary } from '../../../protocol/api.ts';
import { type RunsFilter, type RunsPage, withNews } from '../../../ui/runs-list.ts';

const run = (id: number, over: Partial<RunSummary> = {}): RunSummary => ({
  ...{ id: String(id), job: 'unit', type: 'manual', by: 'mona', trusted: true, state: 'running' },
  ...{ createdAtMs: id, delivery: 'person/1' },
  ...over,
});
const idsAfter = (page: RunsPage, news: RunSummary, filter: RunsFilter = {}, size = 3) => {
  const { runs, before } = withNews(page, news, filter, size);
  return [runs.map((r) => Number(r.id)), before];
};
const page: RunsPage = { runs: [run(30), run(20)] };

test('a new run comes on top, and the last of a full page goes to the next', () => {
  assert.deepEqual(idsAfter(page, run(40)), [[40, 30, 20], undefined]);
  assert.deepEqual(idsAfter({ runs: [run(30), run(20), run(10)] }, run(40)), [[40, 30, 20], '20']);
});

test('a run that was missed takes its place by age', () => {
  assert.deepEqual(idsAfter(page, run(25)), [[30, 25, 20], undefined]);
  assert.deepEqual(idsAfter(page, run(5)), [[30, 20, 5], undefined]);
  assert.deepEqual(idsAfter({ ...page, before: '20' }, run(5)), [[30, 20], '20']);
});

test('a longer id is a newer one', () => {
  assert.deepEqual(idsAfter({ runs: [run(99)] }, run(100)), [[100, 99], undefined]);
});

test('a run that is shown changes in its place, and goes when the filter does not want it any more', () => {
  const { runs } = withNews(page, run(20, { state: 'failed' }), {}, 3);
  assert.equal(runs[1]?.state, 'failed');
  assert.deepEqual(idsAfter(page, run(20, { state: 'failed' }), { state: 'open' }), [[30], undefined]);
});

test('runs that nobody asked for stay away, and older pages get nothing new', () => {
  assert.deepEqual(idsAfter(page, run(40, { job: 'lint' }), { job: 'unit' }), [[30, 20], undefined]);
  assert.deepEqual(idsAfter(page, run(40, { repo: 'a/b' }), { repo: 'a/c' }), [[30, 20], undefined]);
  assert.deepEqual(idsAfter(page, run(40, { pull: 7 }), { pull: '7' }), [[40, 30, 20], undefined]);
  assert.deepEqual(idsAfter(page, run(40), { before: '35' }), [[30, 20], undefined]);
});

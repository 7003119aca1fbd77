import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pageOf } from '../../../controller/api/run-list.ts';
import { runSummary } from '../../../controller/store/run-summary.ts';
import type { RunQuery, RunSummary } from '../../../protocol/api.ts';
import { Farm, later } from '../../../protocol/farm.ts';
import { openRun, type Run } from '../../../protocol/run.ts';
import { newRun, pullRefs } from '../../support/runs.ts';

const runOf = (id: string, over: Partial<Run> = {}): Run => ({ ...openRun(newRun(undefined, { id })), ...over });

function farmOf(...runs: Run[]): Farm {
  const farm = new Farm();
  for (const run of runs) farm.runs.set(run.id, run);
  return farm;
}

/** Turns pages until the last. */
function allPages(farm: Farm, indexed: readonly RunSummary[], query: RunQuery): string[][] {
  const pages: string[][] = [];
  for (let before: string | undefined, more = true; more; more = before !== undefined) {
    const q = { ...query, ...(before !== undefined && { before }) };
    const rows = indexed.filter((r) => before === undefined || later(before, r.id)).slice(0, query.limit + 1);
    const page = pageOf(farm, rows, q);
    pages.push(page.runs.map((r) => r.id));
    before = page.before;
  }
  return pages;
}

test('open runs and ended ones stand in one list, newest first, each once', () => {
  const farm = farmOf(runOf('5'), runOf('3'));
  const indexed = ['5', '4', '2'].map((id) => runSummary(runOf(id, { state: 'passed' })));
  assert.deepEqual(allPages(farm, indexed, { limit: 2 }), [
    ['5', '4'],
    ['3', '2'],
  ]);
});

test('where the index is behind, the state is right', () => {
  const farm = farmOf(runOf('5', { state: 'passed' }));
  const stale = [runSummary(runOf('5', { state: 'running' }))];
  assert.deepEqual(pageOf(farm, stale, { limit: 10, state: 'running' }).runs, []);
  assert.deepEqual(
    pageOf(farm, [], { limit: 10, state: 'passed' }).runs.map((r) => r.state),
    ['passed'],
  );
});

test('a filter leaves only what fits', () => {
  const pull = runOf('4', { refs: pullRefs('acme/shop', 7), job: 'lint' });
  const farm = farmOf(pull, runOf('3'), runOf('2', { state: 'failed' }));
  const ids = (q: Partial<RunQuery>) => pageOf(farm, [], { limit: 10, ...q }).runs.map((r) => r.id);
  assert.deepEqual(ids({ repo: 'acme/shop' }), ['4']);
  assert.deepEqual(ids({ repo: 'acme/shop', pull: 8 }), []);
  assert.deepEqual(ids({ pull: 7 }), ['4']);
  assert.deepEqual(ids({ job: 'unit', state: 'open' }), ['3']);
  assert.deepEqual(ids({ before: '3' }), ['2']);
  assert.deepEqual(ids({ before: '10' }), ['4', '3', '2']);
});

test('turning pages shows every run exactly once, in order, however state and index overlap', () => {
  const ids = fc.uniqueArray(fc.integer({ min: 1, max: 2_000 }).map(String), { maxLength: 40 });
  fc.assert(
    fc.property(ids, ids, fc.integer({ min: 1, max: 7 }), (live, ended, limit) => {
      const farm = farmOf(...live.map((id) => runOf(id)));
      const indexed = ended.sort((a, b) => (later(a, b) ? -1 : 1)).map((id) => runSummary(runOf(id)));
      const shown = allPages(farm, indexed, { limit }).flat();
      const expected = [...new Set([...live, ...ended])].sort((a, b) => (later(a, b) ? -1 : 1));
      assert.deepEqual(shown, expected);
    }),
  );
});

test('a page is not cut short by rows that the index still shows and the state knows better', () => {
  const ids = fc.uniqueArray(fc.integer({ min: 1, max: 60 }).map(String), { maxLength: 30 });
  fc.assert(
    fc.property(ids, ids, fc.integer({ min: 1, max: 7 }), (over, indexedIds, limit) => {
      const farm = farmOf(...over.map((id) => runOf(id, { state: 'passed' })));
      const stale = indexedIds.sort((a, b) => (later(a, b) ? -1 : 1)).map((id) => runSummary(runOf(id)));
      const shown = allPages(farm, stale, { limit, state: 'queued' }).flat();
      assert.deepEqual(
        shown,
        stale.map((r) => r.id).filter((id) => !farm.runs.has(id)),
      );
    }),
  );
});

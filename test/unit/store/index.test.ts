import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, describe, test } from 'node:test';
import { type Folded, openIndex, type RunIndex } from '../../../controller/store/index.ts';
import { indexVersion } from '../../../controller/store/index-file.ts';
import { runsSql } from '../../../controller/store/index-query.ts';
import type { RunQuery } from '../../../protocol/api.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import type { FarmRecord, Verdict } from '../../../protocol/record.ts';
import { type NewRun, openRun, type Run } from '../../../protocol/run.ts';
import { newRun, pullRefs, stepShape } from '../../support/runs.ts';

const dir = mkdtempSync(join(tmpdir(), 'thresh-index-'));
after(() => rmSync(dir, { recursive: true }));

const open = new Set<RunIndex>();
afterEach(() => {
  for (const index of open) index.close();
  open.clear();
});

let files = 0;
const freshFile = () => join(dir, `${++files}.db`);
function opened(file = freshFile()): RunIndex {
  const index = openIndex(file);
  open.add(index);
  return index;
}

/** Run ids are 19 digits; so that a loss of precision would be seen, these differ in the last ones. */
const id = (n: number) => String(1_990_000_000_000_000_000n + BigInt(n));
const run = (n: number, over: Partial<Run> = {}, created: Partial<NewRun> = {}): Run => ({
  ...openRun(newRun([stepShape('a')], { id: id(n), createdAtMs: n, ...created })),
  ...over,
});

const base = { v: 1, term: 1, atMs: 7_000 };
const positions = { deliveries: 0, notices: 0 };
const verdict = (reason: string): Verdict => ({
  decision: 'done',
  reason,
  event: 'run',
  by: 'anna',
  rules: [],
  creates: [],
  cancels: [],
  changes: [],
});
const verdictRecord = (source: string, delivery: string, reason = 'asked'): FarmRecord => ({
  ...base,
  type: 'verdict',
  source,
  id: delivery,
  positions,
  verdict: verdict(reason),
});
const folded = (seq: number, ...changedRuns: Run[]): Folded => ({ record: { ...base, type: 'alive' }, seq, changedRuns });
const ids = (index: RunIndex, query: Partial<RunQuery> = {}) => index.runs({ limit: 50, ...query }).map((r) => r.id);

describe('runs', () => {
  test('a new index is empty and stands at 0', () => {
    const index = opened();
    assert.equal(index.position(), 0);
    assert.deepEqual(ids(index), []);
    assert.equal(index.run(id(1)), undefined);
  });

  test('a folded run is found with all that it holds, and its id is exact', () => {
    const index = opened();
    const one = run(1, {}, { refs: pullRefs('org/repo', 7), spec: { inline: [] } });
    index.fold([folded(1, one)]);
    assert.deepEqual(index.run(id(1)), one);
    assert.equal(index.run(id(2)), undefined);
  });

  test('a summary says repository, pull request and commit', () => {
    const index = opened();
    index.fold([folded(1, run(1, {}, { refs: pullRefs('org/repo', 7) }))]);
    const [summary] = index.runs({ limit: 1 });
    assert.equal(summary?.repo, 'org/repo');
    assert.equal(summary?.pull, 7);
    assert.equal(summary?.sha, '7'.padStart(40, '0'));
  });

  test('a page is the newest runs, and the next one goes on before its last', () => {
    const index = opened();
    index.fold([folded(1, ...[3, 1, 5, 2, 4].map((n) => run(n)))]);
    assert.deepEqual(ids(index, { limit: 2 }), [id(5), id(4)]);
    assert.deepEqual(ids(index, { limit: 2, before: id(4) }), [id(3), id(2)]);
    assert.deepEqual(ids(index, { limit: 2, before: id(1) }), []);
  });

  test('every combination of filters gives what a filter in memory gives', () => {
    const index = opened();
    const all: Run[] = [];
    for (let n = 1; n <= 240; n++) {
      const state = (['queued', 'running', 'stopping', 'passed', 'failed', 'passed'] as const)[n % 6] ?? 'passed';
      const refs = n % 5 === 0 ? {} : { refs: pullRefs(`org/r${n % 3}`, 1 + (n % 4)) };
      all.push(run(n, { state }, { job: `j${n % 4}`, ...refs }));
    }
    index.fold([folded(1, ...all)]);
    for (const state of [undefined, 'open', 'passed', 'running'] as const)
      for (const job of [undefined, 'j1'])
        for (const repo of [undefined, 'org/r1'])
          for (const pull of [undefined, 2])
            for (const before of [undefined, id(150)]) {
              const query = {
                ...(state && { state }),
                ...(job && { job }),
                ...(repo && { repo }),
                ...(pull && { pull }),
                ...(before && { before }),
              };
              const isOpen = (r: Run) => r.state === 'queued' || r.state === 'running' || r.state === 'stopping';
              const want = all
                .filter((r) => state === undefined || (state === 'open' ? isOpen(r) : r.state === state))
                .filter((r) => job === undefined || r.job === job)
                .filter((r) => repo === undefined || `${r.refs?.org}/${r.refs?.repo}` === repo)
                .filter((r) => pull === undefined || r.refs?.pulls[0]?.number === pull)
                .filter((r) => before === undefined || r.id < before)
                .map((r) => r.id)
                .reverse();
              assert.deepEqual(ids(index, { ...query, limit: 1_000 }), want, JSON.stringify(query));
            }
  });

  test('no page is sorted or read whole: each filter has an index in order of age', () => {
    const file = freshFile();
    opened(file);
    const db = new DatabaseSync(file, { readOnly: true });
    try {
      for (const state of [undefined, 'passed'] as const)
        for (const job of [undefined, 'j'])
          for (const repo of [undefined, 'o/r']) {
            const query = { ...(state && { state }), ...(job && { job }), ...(repo && { repo }), before: id(9), limit: 50 };
            const { text, values } = runsSql(query);
            const plan = db.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...values);
            const steps = plan.map((p) => String(p.detail));
            assert.equal(steps.length, 1, steps.join());
            assert.match(steps[0] ?? '', /^SEARCH runs USING/);
          }
    } finally {
      db.close();
    }
  });

  test('text of a query is never SQL', () => {
    const index = opened();
    index.fold([folded(1, run(1))]);
    assert.deepEqual(ids(index, { job: "' OR 1=1 --" }), []);
    assert.deepEqual(ids(index, { before: '0 OR 1' }), []);
    assert.equal(index.run('1; DROP TABLE runs'), undefined);
    assert.equal(ids(index).length, 1);
  });
});

describe('folding', () => {
  test('position and rows are there together after opening again', () => {
    const file = freshFile();
    const index = opened(file);
    index.fold([folded(4, run(1)), { record: verdictRecord('person', 'd1'), seq: 5, changedRuns: [run(2)] }]);
    index.close();
    const again = opened(file);
    assert.equal(again.position(), 5);
    assert.deepEqual(ids(again), [id(2), id(1)]);
    assert.equal(again.delivery('person', 'd1')?.verdict.reason, 'asked');
  });

  test('a batch that fails half-way leaves neither rows nor position', () => {
    const index = opened();
    index.fold([folded(1, run(1))]);
    const circular: Run = { ...run(2) };
    Object.assign(circular, { self: circular });
    assert.throws(() => index.fold([folded(2, run(3), circular)]));
    assert.equal(index.position(), 1);
    assert.deepEqual(ids(index), [id(1)]);
    index.fold([folded(2, run(3))]);
    assert.deepEqual(ids(index), [id(3), id(1)]);
  });

  test('records that were folded before change nothing', () => {
    const index = opened();
    index.fold([folded(3, run(1, { state: 'running', n: 5 }))]);
    index.fold([folded(2, run(1, { state: 'queued', n: 9 })), folded(3, run(2))]);
    assert.equal(index.run(id(1))?.state, 'running');
    assert.deepEqual(ids(index), [id(1)]);
  });

  test('of several states of one run in a batch the last counts', () => {
    const index = opened();
    index.fold([
      folded(1, run(1, { n: 1 })),
      folded(2, run(1, { n: 2, state: 'running' })),
      folded(3, run(1, { n: 3, state: 'passed' })),
    ]);
    assert.equal(index.run(id(1))?.state, 'passed');
    assert.deepEqual(ids(index, { state: 'open' }), []);
  });

  test('a run whose record says archived is marked so although the farm holds it no more', () => {
    const index = opened();
    index.fold([folded(1, run(1, { n: 4, state: 'passed' }))]);
    const record: FarmRecord = { ...base, type: 'run', run: id(1), n: 5, positions, events: [{ type: 'archived' }] };
    index.fold([{ record, seq: 2, changedRuns: [] }]);
    assert.deepEqual(index.run(id(1)), run(1, { n: 5, state: 'passed', archived: true }));
  });

  test('a run put from object storage fills a hole and never replaces a newer state', () => {
    const index = opened();
    index.putRun(run(1, { n: 3, state: 'passed' }));
    assert.equal(index.run(id(1))?.state, 'passed');
    index.putRun(run(1, { n: 2, state: 'running' }));
    assert.equal(index.run(id(1))?.state, 'passed');
    assert.equal(index.position(), 0);
  });
});

describe('deliveries', () => {
  const three = (index: RunIndex) =>
    index.fold(['d1', 'd2', 'd3'].map((d, i) => ({ record: verdictRecord('github', d), seq: i + 1, changedRuns: [] })));

  test('are listed newest first, page by page', () => {
    const index = opened();
    three(index);
    assert.deepEqual(
      index.deliveries({ limit: 2 }).map((d) => d.id),
      ['d3', 'd2'],
    );
    assert.deepEqual(
      index.deliveries({ limit: 2, before: 'github/d2' }).map((d) => d.id),
      ['d1'],
    );
    assert.deepEqual(index.deliveries({ limit: 2, before: 'github/gone' }), []);
  });

  test('a later verdict takes the place of one that was waiting', () => {
    const index = opened();
    three(index);
    index.fold([{ record: verdictRecord('github', 'd1', 'decided now'), seq: 4, changedRuns: [] }]);
    assert.equal(index.delivery('github', 'd1')?.verdict.reason, 'decided now');
    assert.deepEqual(
      index.deliveries({ limit: 9 }).map((d) => d.id),
      ['d3', 'd2', 'd1'],
    );
  });

  test('the same id of another source is another delivery', () => {
    const index = opened();
    three(index);
    assert.equal(index.delivery('person', 'd1'), undefined);
  });
});

describe('pruning', () => {
  test('removes the oldest ended runs and deliveries, and keeps open runs', () => {
    const index = opened();
    const runs = [1, 2, 3, 4, 5].map((n) => run(n, { state: n === 1 ? 'running' : 'passed' }));
    index.fold(runs.map((r, i) => ({ record: verdictRecord('github', `d${i + 1}`), seq: i + 1, changedRuns: [r] })));
    assert.deepEqual(index.prune({ keepRuns: 3, keepDeliveries: 2 }), { runs: 2, deliveries: 3 });
    assert.deepEqual(ids(index), [id(5), id(4), id(1)]);
    assert.deepEqual(
      index.deliveries({ limit: 9 }).map((d) => d.id),
      ['d5', 'd4'],
    );
    assert.deepEqual(index.prune({ keepRuns: 3, keepDeliveries: 2 }), { runs: 0, deliveries: 0 });
    assert.equal(index.position(), 5);
  });
});

describe('a file that cannot be used', () => {
  test('of another version is built again from 0', () => {
    const file = freshFile();
    opened(file).fold([folded(1, run(1))]);
    for (const index of open) index.close();
    const db = new DatabaseSync(file);
    db.exec(`PRAGMA user_version = ${indexVersion + 1}`);
    db.close();
    const again = opened(file);
    assert.equal(again.position(), 0);
    assert.deepEqual(ids(again), []);
  });

  test('that is no database is built again', () => {
    const file = freshFile();
    writeFileSync(file, 'not a database at all, and long enough to be looked at '.repeat(100));
    assert.equal(opened(file).position(), 0);
  });

  test('that was cut short, or has lost a table, is built again', () => {
    for (const spoil of [
      (file: string) => truncateSync(file, 100),
      (file: string) => truncateSync(file, 4096),
      (file: string) => {
        const db = new DatabaseSync(file);
        db.exec('DROP TABLE runs');
        db.close();
      },
    ]) {
      const file = freshFile();
      opened(file).fold([folded(1, run(1))]);
      for (const index of open) index.close();
      spoil(file);
      assert.equal(opened(file).position(), 0);
    }
  });

  test('whose damage shows only later is deleted when it shows, and the next one starts at 0', () => {
    const file = freshFile();
    const first = opened(file);
    first.fold([folded(1, ...Array.from({ length: 400 }, (_, n) => run(n + 1)))]);
    first.close();
    const bytes = readFileSync(file);
    // Beyond the pages that opening reads: the schema and the position.
    bytes.fill(0xa5, 4096 * 24);
    writeFileSync(file, bytes);
    const spoiled = opened(file);
    assert.throws(
      () => {
        for (let n = 1; n <= 400; n++) spoiled.run(id(n));
      },
      (error) => isFarmError(error, 'INDEX_DAMAGED'),
    );
    assert.throws(() => statSync(file));
    assert.equal(opened(file).position(), 0);
  });

  test('because its directory is missing is said, not hidden', () => {
    assert.throws(() => openIndex(join(dir, 'no', 'such', 'index.db')), /unable to open/);
  });
});

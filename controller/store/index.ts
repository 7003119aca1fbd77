import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { DeliverySummary, RunQuery, RunSummary } from '../../protocol/api.ts';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import type { FarmRecord, Verdict } from '../../protocol/record.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';
import { isDamage, openIndexFile, removeIndexFile } from './index-file.ts';
import { rowOf, runsSql } from './index-query.ts';
import { runSummary } from './run-summary.ts';

/** One record of `RUNS`, and the runs that it changed as they are after it. */
export type Folded = { record: FarmRecord; seq: number; changedRuns: readonly Run[] };

/**
 * `index.db`: lists, filters and history of this controller. It can be deleted at any time; it is never asked for a scheduling decision.
 * Every method throws `INDEX_DAMAGED` when the file turns out to be broken; it has been deleted then: open it again, fold from the start.
 */
export type RunIndex = {
  /** Sequence of the last record folded; 0: none. Records up to there change nothing any more. */
  position: () => number;
  /** Rows and position in one transaction. */
  fold: (batch: readonly Folded[]) => void;
  /** Newest first. */
  runs: (query: RunQuery) => RunSummary[];
  run: (id: string) => Run | undefined;
  /** Newest first. `before`: `source/id` of a delivery; only older ones are wanted, none when it is not known any more. */
  deliveries: (query: { before?: string; limit: number }) => DeliverySummary[];
  delivery: (source: string, id: string) => DeliverySummary | undefined;
  /** A run from elsewhere (object storage); ignored when the index knows a newer state of it. */
  putRun: (run: Run) => void;
  /** Removes the oldest runs that have ended, and the oldest deliveries, beyond so many. Open runs stay. */
  prune: (keep: { keepRuns: number; keepDeliveries: number }) => { runs: number; deliveries: number };
  close: () => void;
};

export function openIndex(file: string): RunIndex {
  const db = openIndexFile(file);
  const sql = statements(db);
  const lists = new Map<string, StatementSync>();

  /** Runs `work`, all of it or none. */
  const inOne = <T>(work: () => T): T => {
    db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      db.exec('COMMIT');
      return result;
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  };
  /** Deletes a file that turns out to be broken: kept, it would stand in the way after every restart. */
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (!isDamage(error)) throw error;
      if (db.isOpen) db.close();
      removeIndexFile(file);
      throw new FarmError('INDEX_DAMAGED', { file, detail: messageOf(error) }, { cause: error });
    }
  };

  const position = () => Number(sql.position.get()?.seq ?? 0);
  const put = (run: Run) => {
    const row = rowOf(run.id);
    if (row === undefined) return;
    const summary = runSummary(run);
    const { repo = null, pull = null } = summary;
    const open = hasEnded(run) ? 0 : 1;
    const [short, doc] = [JSON.stringify(summary), JSON.stringify(run)];
    sql.putRun.run(row, run.n, open, run.state, run.job, repo, pull, run.createdAtMs, short, doc);
  };
  const fold = (batch: readonly Folded[]) => {
    const from = position();
    const fresh = batch.filter((b) => b.seq > from);
    const last = fresh.at(-1);
    if (!last) return;
    // A batch often holds many states of one run: the last is enough.
    const runs = new Map<string, Run>();
    for (const { changedRuns } of fresh) for (const run of changedRuns) runs.set(run.id, run);
    for (const run of runs.values()) put(run);
    for (const { record, seq } of fresh) {
      if (record.type === 'verdict')
        sql.putDelivery.run(seq, record.source, record.id, record.atMs, JSON.stringify(record.verdict));
      // The farm has let go of an archived run, so nobody could hand it over.
      else if (record.type === 'run' && record.events.some((e) => e.type === 'archived'))
        sql.archived.run(record.n, rowOf(record.run) ?? 0n, record.n);
    }
    sql.setPosition.run(last.seq);
  };
  const list = (query: RunQuery): RunSummary[] => {
    const { text, values } = runsSql(query);
    const statement = lists.get(text) ?? db.prepare(text);
    lists.set(text, statement);
    return statement.all(...values).map((row) => parsed<RunSummary>(row.summary));
  };
  const olderThan = (before: string | undefined): number | undefined => {
    if (before === undefined) return Number.MAX_SAFE_INTEGER;
    const [source = '', id = ''] = before.split('/');
    const seq = sql.delivery.get(source, id)?.seq;
    return typeof seq === 'number' ? seq : undefined;
  };

  return {
    position: () => guarded(position),
    fold: (batch) => guarded(() => inOne(() => fold(batch))),
    runs: (query) => guarded(() => list(query)),
    run: (id) =>
      guarded(() => {
        const row = rowOf(id);
        const found = row === undefined ? undefined : sql.run.get(row);
        return found && parsed<Run>(found.doc);
      }),
    deliveries: ({ before, limit }) =>
      guarded(() => {
        const seq = olderThan(before);
        return seq === undefined ? [] : sql.deliveries.all(seq, limit).map(deliveryOf);
      }),
    delivery: (source, id) =>
      guarded(() => {
        const found = sql.delivery.get(source, id);
        return found && deliveryOf(found);
      }),
    putRun: (run) => guarded(() => put(run)),
    prune: ({ keepRuns, keepDeliveries }) =>
      guarded(() =>
        inOne(() => ({
          runs: Number(sql.pruneRuns.run(keepRuns).changes),
          deliveries: Number(sql.pruneDeliveries.run(keepDeliveries).changes),
        })),
      ),
    close: () => {
      if (db.isOpen) db.close();
    },
  };
}

const statements = (db: DatabaseSync) => ({
  position: db.prepare('SELECT seq FROM position WHERE one = 1'),
  setPosition: db.prepare('UPDATE position SET seq = ? WHERE one = 1'),
  putRun: db.prepare(
    `INSERT INTO runs (id, n, open, state, job, repo, pull, created, summary, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET n = excluded.n, open = excluded.open, state = excluded.state, summary = excluded.summary, doc = excluded.doc
     WHERE excluded.n >= runs.n`,
  ),
  archived: db.prepare(
    `UPDATE runs SET n = ?1, doc = json_set(doc, '$.archived', json('true'), '$.n', ?1) WHERE id = ?2 AND n <= ?3`,
  ),
  run: db.prepare('SELECT doc FROM runs WHERE id = ?'),
  // A later verdict about the same delivery takes the place of the first, and its place in the order.
  putDelivery: db.prepare(
    `INSERT INTO deliveries (seq, source, id, at, verdict) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (source, id) DO UPDATE SET at = excluded.at, verdict = excluded.verdict`,
  ),
  delivery: db.prepare('SELECT seq, source, id, at, verdict FROM deliveries WHERE source = ? AND id = ?'),
  deliveries: db.prepare('SELECT seq, source, id, at, verdict FROM deliveries WHERE seq < ? ORDER BY seq DESC LIMIT ?'),
  pruneRuns: db.prepare(
    `DELETE FROM runs WHERE id IN (SELECT id FROM runs NOT INDEXED WHERE open = 0 ORDER BY id LIMIT max(0, (SELECT count(*) FROM runs) - ?))`,
  ),
  pruneDeliveries: db.prepare(
    `DELETE FROM deliveries WHERE seq IN (SELECT seq FROM deliveries ORDER BY seq LIMIT max(0, (SELECT count(*) FROM deliveries) - ?))`,
  ),
});

/** The index wrote it itself. */
const parsed = <T>(json: unknown): T => JSON.parse(String(json)) as T;

const deliveryOf = (row: Record<string, unknown>): DeliverySummary => ({
  source: String(row.source),
  id: String(row.id),
  atMs: Number(row.at),
  verdict: parsed<Verdict>(row.verdict),
});

import type { RunQuery, RunSummary } from '../../protocol/api.ts';
import { repoOf } from '../../protocol/change.ts';
import { type Farm, later } from '../../protocol/farm.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';
import { runSummary } from '../store/run-summary.ts';

/**
 * A page of runs, newest first: those that the farm's state holds and those that only the index knows. Where both know one, the state is
 * right and the index may be behind.
 * @param indexed what the index gives for the same query with a limit of one more
 * @returns before: the cursor of the next page; absent when this is the last
 */
export function pageOf(farm: Farm, indexed: readonly RunSummary[], query: RunQuery): { runs: RunSummary[]; before?: string } {
  /** The index may know more below its last row; nothing below it may be shown before those. */
  const floor = indexed.length > query.limit ? indexed.at(-1)?.id : undefined;
  const live = [...farm.runs.values()].filter((run) => isWanted(run, query)).map(runSummary);
  const all = [...live, ...indexed.filter((run) => !farm.runs.has(run.id))]
    .filter((run) => floor === undefined || !later(floor, run.id))
    .sort((a, b) => (later(a.id, b.id) ? -1 : 1));
  const runs = all.slice(0, query.limit);
  const before = all.length > query.limit ? runs.at(-1)?.id : floor;
  return { runs, ...(before !== undefined && { before }) };
}

function isWanted(run: Run, q: RunQuery): boolean {
  if (q.before !== undefined && !later(q.before, run.id)) return false;
  if (q.state !== undefined && (q.state === 'open' ? hasEnded(run) : run.state !== q.state)) return false;
  if (q.job !== undefined && run.job !== q.job) return false;
  if (q.repo !== undefined && (!run.refs || repoOf(run.refs) !== q.repo)) return false;
  return q.pull === undefined || runSummary(run).pull === q.pull;
}

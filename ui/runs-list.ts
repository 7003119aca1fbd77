import type { RunSummary } from '../protocol/api.ts';

export type RunsFilter = { state?: string; repo?: string; job?: string; pull?: string; before?: string };
export type RunsPage = { runs: RunSummary[]; before?: string | undefined };

const isOver = (state: string) => state === 'passed' || state === 'failed' || state === 'errored' || state === 'cancelled';

/** Whether the run belongs to a list; the API says the same of it. */
export function isWanted(run: RunSummary, f: RunsFilter): boolean {
  if (f.state !== undefined && (f.state === 'open' ? isOver(run.state) : run.state !== f.state)) return false;
  if (f.repo !== undefined && run.repo !== f.repo) return false;
  if (f.job !== undefined && run.job !== f.job) return false;
  return f.pull === undefined || String(run.pull) === f.pull;
}

/** Newer ids are longer, or greater. */
const isNewer = (a: string, b: string) => (a.length === b.length ? a > b : a.length > b.length);

/** The page after a run was heard of: changed in its place, gone when it is not wanted any more, new ones on top of the first page only. */
export function withNews(page: RunsPage, run: RunSummary, filter: RunsFilter, pageSize: number): RunsPage {
  const at = page.runs.findIndex((r) => r.id === run.id);
  const wanted = isWanted(run, filter);
  if (at >= 0) return { ...page, runs: wanted ? page.runs.with(at, run) : page.runs.toSpliced(at, 1) };
  if (!wanted || filter.before !== undefined) return page;
  const i = page.runs.findIndex((r) => isNewer(run.id, r.id));
  // Older than all that is shown: it belongs to a later page, or there is none.
  if (i < 0 && page.before !== undefined) return page;
  const runs = page.runs.toSpliced(i < 0 ? page.runs.length : i, 0, run);
  if (runs.length <= pageSize) return { ...page, runs };
  const kept = runs.slice(0, pageSize);
  return { runs: kept, before: kept.at(-1)?.id };
}

import type { RunSummary } from './api.ts';
import { applyToRun, type Run, type RunEvent } from './run.ts';

/*
 * What a page hears while it is open. Both are WebSockets on which the farm alone speaks, one JSON message a frame. They say what has
 * changed since they were opened, so a page first opens one and then asks for lists.
 *
 * GET /api/events             FarmNews
 * GET /api/runs/:run/events   RunNews
 */

/**
 * run: how it stands now. queues, agents, deliveries, farm: what the API says of them has changed; ask again.
 * resync: too much happened to be told one by one; ask for everything again.
 */
export type FarmNews =
  | { type: 'run'; run: RunSummary }
  | { type: 'queues' | 'agents' | 'deliveries' | 'farm' }
  | { type: 'resync' };

/** run: the whole run, first and whenever it cannot be told in events. events: to be folded (`applyToRun`) when `n` is one more than the run's. */
export type RunNews =
  | { type: 'run'; run: Run }
  | { type: 'events'; n: number; events: RunEvent[] }
  | { type: 'error'; code: string; message: string };

/** What a page has after `news`; undefined: something before it is missing, so the page has to begin again. */
export function foldNews(run: Run | undefined, news: Exclude<RunNews, { type: 'error' }>): Run | undefined {
  if (news.type === 'run') return run && run.id === news.run.id && run.n > news.run.n ? run : news.run;
  if (!run || news.n > run.n + 1) return undefined;
  return news.n <= run.n ? run : { ...news.events.reduce(applyToRun, run), n: news.n };
}

import type { QueueSummary } from '../protocol/api.ts';
import type { Farm } from '../protocol/farm.ts';
import { hasEnded, type Run } from '../protocol/run.ts';
import { queueSummaries } from './api/queue-summary.ts';

export type QueueDepth = Pick<QueueSummary, 'queue' | 'ready' | 'running' | 'agents'> & {
  /** Of `ready`, those that no free slot would help: paused, over their job's limit, or their workspace's agent takes no work. */
  held: number;
  /** When its oldest task became ready, milliseconds since the epoch. */
  oldestSinceMs?: number;
};

/**
 * How deep each queue is. Queues are named by jobs, which in part come from tested repositories: the fullest `most` are told one by one, the
 * rest together as 'other'.
 */
export function queueDepths(farm: Farm, most: number): QueueDepth[] {
  const held = heldTasks(farm);
  const all = queueSummaries(farm).map(({ queue, ready, running, agents, oldest }): QueueDepth => {
    const depth = { queue, ready, running, agents, held: held.get(queue) ?? 0 };
    return oldest ? { ...depth, oldestSinceMs: oldest.sinceMs } : depth;
  });
  if (all.length <= most) return all;
  all.sort((a, b) => b.ready + b.running - a.ready - a.running);
  return [...all.slice(0, most), all.slice(most).reduce(together, { queue: 'other', ready: 0, running: 0, agents: 0, held: 0 })];
}

const together = (sum: QueueDepth, one: QueueDepth): QueueDepth => {
  const since = Math.min(sum.oldestSinceMs ?? Number.POSITIVE_INFINITY, one.oldestSinceMs ?? Number.POSITIVE_INFINITY);
  return {
    queue: sum.queue,
    ready: sum.ready + one.ready,
    running: sum.running + one.running,
    agents: sum.agents + one.agents,
    held: sum.held + one.held,
    ...(Number.isFinite(since) ? { oldestSinceMs: since } : {}),
  };
};

function heldTasks(farm: Farm): Map<string, number> {
  const started = new Map<string, number>();
  for (const run of farm.runs.values())
    if (!hasEnded(run) && run.state !== 'queued') started.set(run.job, (started.get(run.job) ?? 0) + 1);
  const held = new Map<string, number>();
  for (const run of farm.runs.values()) {
    if (hasEnded(run)) continue;
    const runIsHeld = isOverLimit(run, started.get(run.job) ?? 0) || !homeTakesWork(run, farm);
    run.at.forEach((step, i) => {
      const queue = run.steps[i]?.queue ?? '';
      if (step.state === 'ready' && (runIsHeld || farm.pausedQueues.has(queue))) held.set(queue, (held.get(queue) ?? 0) + 1);
    });
  }
  return held;
}

const isOverLimit = (run: Run, started: number): boolean =>
  run.state === 'queued' && run.maxConcurrency > 0 && started >= run.maxConcurrency;

function homeTakesWork(run: Run, farm: Farm): boolean {
  if (run.workspace !== 'local' || run.home === undefined) return true;
  const home = farm.agents.get(run.home);
  return home !== undefined && home.silentSinceMs === undefined && home.state !== 'revoked';
}

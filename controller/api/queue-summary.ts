import type { QueueSummary, Waiting } from '../../protocol/api.ts';
import type { Farm } from '../../protocol/farm.ts';
import type { Agent } from '../../protocol/record.ts';
import { hasEnded, openAttempts, type Run } from '../../protocol/run.ts';

type Oldest = { run: Run; step: string; sinceMs: number };
type Count = { ready: number; running: number; oldest?: Oldest };

/** The queues that agents, waiting or running tasks, or pauses name, by name. One pass over the open runs. */
export function queueSummaries(farm: Farm): QueueSummary[] {
  const counts = new Map<string, Count>();
  const countOf = (queue: string): Count => {
    const count = counts.get(queue) ?? { ready: 0, running: 0 };
    counts.set(queue, count);
    return count;
  };
  for (const agent of farm.agents.values()) if (agent.state !== 'revoked') for (const queue of agent.queues) countOf(queue);
  for (const queue of farm.pausedQueues.keys()) countOf(queue);

  const started = new Map<string, number>();
  for (const run of farm.runs.values()) {
    if (hasEnded(run)) continue;
    if (run.state !== 'queued') started.set(run.job, (started.get(run.job) ?? 0) + 1);
    const queueOf = new Map(run.steps.map((s) => [s.name, s.queue]));
    for (const { step } of openAttempts(run)) countOf(queueOf.get(step) ?? '').running += 1;
    for (const step of run.at) {
      if (step.state !== 'ready') continue;
      const count = countOf(queueOf.get(step.name) ?? '');
      count.ready += 1;
      const sinceMs = step.readyAtMs ?? run.createdAtMs;
      if (!count.oldest || sinceMs < count.oldest.sinceMs) count.oldest = { run, step: step.name, sinceMs };
    }
  }

  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([queue, { ready, running, oldest }]) => {
      const paused = farm.pausedQueues.get(queue);
      const agents = agentsOf(farm, queue);
      return {
        ...{ queue, ready, running },
        ...(paused && { paused }),
        agents: agents.filter(isServing).length,
        ...(oldest && {
          oldest: {
            run: oldest.run.id,
            step: oldest.step,
            sinceMs: oldest.sinceMs,
            why: whyWaits(oldest.run, queue, agents, farm, started.get(oldest.run.job) ?? 0),
          },
        }),
      };
    });
}

/** The steps of a run that are ready and that no agent has. */
export function waitingOf(run: Run, farm: Farm): Waiting[] {
  const ready = hasEnded(run) ? [] : run.at.filter((s) => s.state === 'ready');
  if (ready.length === 0) return [];
  const ofJob = [...farm.runs.values()].filter((r) => r.job === run.job && r.state !== 'queued' && !hasEnded(r));
  return ready.map(({ name, readyAtMs: sinceMs = run.createdAtMs }) => {
    const queue = run.steps.find((s) => s.name === name)?.queue ?? '';
    return { step: name, sinceMs, why: whyWaits(run, queue, agentsOf(farm, queue), farm, ofJob.length) };
  });
}

const agentsOf = (farm: Farm, queue: string): Agent[] =>
  [...farm.agents.values()].filter((a) => a.state !== 'revoked' && a.queues.includes(queue));

const isServing = (agent: Agent): boolean => agent.state === 'serving' && agent.silentSinceMs === undefined;

/**
 * Why no agent has a task: the first thing in the way, in the order in which people can do something about it. Slots are in beats, which
 * only the leader hears, so the last answer is a guess by elimination.
 * @param started open runs of the same job that have started
 */
function whyWaits(run: Run, queue: string, agents: readonly Agent[], farm: Farm, started: number): string {
  const paused = farm.pausedQueues.get(queue);
  if (paused) return `queue '${queue}' is paused by ${paused.by}${paused.reason && `: ${paused.reason}`}`;
  if (run.workspace === 'local' && run.home !== undefined) return whyHomeWaits(run.home, farm);
  if (run.state === 'queued' && run.maxConcurrency > 0 && started >= run.maxConcurrency)
    return `${started} of at most ${run.maxConcurrency} runs of job '${run.job}' are under way`;
  if (agents.length === 0) return `no agent serves queue '${queue}'`;
  const fitting = run.trusted ? agents : agents.filter((a) => a.trust === 'any');
  if (fitting.length === 0) return `its change is not trusted, and no agent of queue '${queue}' takes such runs`;
  if (!fitting.some(isServing))
    return `no agent of queue '${queue}' takes work now: ${fitting.slice(0, 5).map(stateOf).join(', ')}`;
  return 'waits for a free slot';
}

/** A home that is cordoned or drained still takes the tasks of its runs. */
function whyHomeWaits(home: string, farm: Farm): string {
  const agent = farm.agents.get(home);
  if (!agent) return `its workspace is on agent '${home}', which is gone`;
  const fit = agent.silentSinceMs === undefined && agent.state !== 'revoked';
  return fit
    ? `waits for a free slot on agent '${home}', which has its workspace`
    : `its workspace is on an agent that takes no work now: ${stateOf(agent)}`;
}

const stateOf = (agent: Agent): string => `'${agent.id}' is ${agent.silentSinceMs === undefined ? agent.state : 'silent'}`;

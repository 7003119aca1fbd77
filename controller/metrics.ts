import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { isOpen } from '../protocol/attempt.ts';
import type { Delivery } from '../protocol/delivery.ts';
import type { Farm } from '../protocol/farm.ts';
import type { FarmRecord } from '../protocol/record.ts';
import { attemptOf, hasEnded, type Run, stepOf } from '../protocol/run.ts';
import { queueDepths } from './metrics-queues.ts';
import type { Folded } from './store/confirmed.ts';
import type { DiskState } from './store/disk-watch.ts';
import type { AppendOutcome } from './store/writer.ts';

export type MetricsDeps = {
  /** This controller's confirmed state. */
  farm: () => Farm;
  leads: () => boolean;
  disks: () => readonly DiskState[];
  /** Milliseconds since the epoch. */
  wallMs: () => number;
};

/** What a controller counts. In several, each counts what it has seen: the records of `RUNS` are the same for all. */
export type Metrics = {
  contentType: string;
  /** In Prometheus' text format. Gauges are read now. What Node says of the process is collected from the first call on. */
  text: () => Promise<string>;
  /** A record was folded; one that was counted before is not counted again. */
  folded: (folded: Folded) => void;
  /** A delivery was stored by this controller. */
  accepted: (delivery: Pick<Delivery, 'source' | 'id'>) => void;
  appended: (outcome: AppendOutcome) => void;
  logStored: (bytes: number) => void;
  /** @param route as it was registered, not as it was asked for; undefined: there is none */
  answered: (answer: { method: string; route: string | undefined; status: number; ms: number }) => void;
};

const mostQueues = 50;
/** Deliveries whose first task is not out yet, and that are remembered to time it. */
const mostWaiting = 10_000;
const waitBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];
const answerBuckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const agentStates = ['serving', 'cordoned', 'draining', 'revoked', 'silent'] as const;
const openStates = ['queued', 'running', 'stopping'] as const;

/** A registry of this controller's own: several controllers may live in one process. */
export function controllerMetrics({ farm, leads, disks, wallMs }: MetricsDeps): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge({ name, help, labelNames, registers });

  const records = counter('thresh_records_total', 'Records of RUNS that this controller has folded, by type', 'type');
  const decided = counter('thresh_deliveries_decided_total', 'Verdicts, by source and decision', 'source', 'decision');
  const accepted = counter('thresh_deliveries_accepted_total', 'Deliveries that this controller has stored, by source', 'source');
  const runsEnded = counter(
    'thresh_runs_ended_total',
    'Runs that have ended, by how and by the type of their job',
    'state',
    'type',
  );
  const attemptsEnded = counter('thresh_attempts_ended_total', 'Attempts that have ended, by how', 'state');
  const appends = counter(
    'thresh_appends_total',
    'Appends to RUNS by this controller as leader, by what became of them',
    'outcome',
  );
  const logBytes = counter('thresh_log_stored_bytes_total', 'Bytes of logs that this controller has stored');
  const requests = counter('thresh_http_requests_total', 'HTTP requests answered', 'method', 'route', 'status');
  const answering = new Histogram({
    ...{ name: 'thresh_http_request_seconds', help: 'Time from an HTTP request to its answer; some wait for a verdict' },
    ...{ labelNames: ['route'], buckets: answerBuckets, registers },
  });
  const taskWait = new Histogram({
    ...{ name: 'thresh_task_wait_seconds', help: 'Time from a task being ready to an agent being given it, by queue' },
    ...{ labelNames: ['queue'], buckets: waitBuckets, registers },
  });
  const firstTask = new Histogram({
    ...{
      name: 'thresh_delivery_to_task_seconds',
      help: 'Time from a delivery stored here to the first task of its runs being given to an agent',
    },
    ...{ labelNames: [], buckets: waitBuckets, registers },
  });

  const tasks = gauge(
    'thresh_tasks',
    'Tasks by queue: ready (wait for an agent), held (of those, no free slot would help), running',
    'queue',
    'state',
  );
  const oldest = gauge(
    'thresh_oldest_task_wait_seconds',
    'How long the oldest task of a queue has waited; 0: none waits',
    'queue',
  );
  const queueAgents = gauge('thresh_queue_agents', 'Agents that serve a queue and take work now', 'queue');
  const openRuns = gauge('thresh_open_runs', 'Runs that have not ended, by state', 'state');
  const unarchived = gauge('thresh_unarchived_runs', 'Runs that have ended and are not in object storage yet');
  const agents = gauge('thresh_agents', 'Agents by state; silent: not heard lately, whatever its state', 'state');
  const leader = gauge('thresh_leader', '1 when this controller leads, else 0');
  const term = gauge('thresh_term', 'The newest term that this controller has seen');
  const sequence = gauge('thresh_runs_sequence', 'Sequence of the last record of RUNS that this controller has folded');
  const configProblems = gauge(
    'thresh_config_problems',
    'Problems of the newest job configuration; above 0 an older one is in force',
  );
  const diskFree = gauge('thresh_disk_free_bytes', 'Free space of a file system that the farm writes to', 'disk');
  const diskNeeded = gauge('thresh_disk_least_free_bytes', 'Free space below which nothing new is accepted', 'disk');
  const intakeOpen = gauge('thresh_intake_open', '1 when deliveries are accepted, 0 when a disk is too full');

  for (const outcome of ['stored', 'refused', 'unknown'] as const) appends.inc({ outcome }, 0);
  for (const state of ['passed', 'failed', 'errored', 'cancelled', 'returned', 'lost'] as const) attemptsEnded.inc({ state }, 0);

  let countedSeq = 0;
  /** When a delivery was stored here, until its runs are known. */
  const stored = bounded<number>(mostWaiting);
  /** The same for runs, until their first task is out. */
  const created = bounded<number>(mostWaiting);
  const queueNames = new Set<string>();
  const queueLabel = (queue: string): string => {
    if (queueNames.size < mostQueues) queueNames.add(queue);
    return queueNames.has(queue) ? queue : 'other';
  };

  const countVerdict = ({ source, id, verdict }: Extract<FarmRecord, { type: 'verdict' }>) => {
    decided.inc({ source, decision: verdict.decision });
    const atMs = stored.take(`${source}/${id}`);
    if (atMs !== undefined) for (const run of verdict.creates) created.put(run.id, atMs);
  };
  const countRun = (record: Extract<FarmRecord, { type: 'run' }>, run: Run) => {
    for (const event of record.events) {
      if (event.type === 'assigned') {
        const step = stepOf(run, event.step);
        const queue = run.steps.find((s) => s.name === event.step)?.queue ?? '';
        if (step?.readyAtMs !== undefined) taskWait.observe({ queue: queueLabel(queue) }, seconds(event.atMs - step.readyAtMs));
        const atMs = created.take(run.id);
        if (atMs !== undefined) firstTask.observe(seconds(event.atMs - atMs));
      } else if (event.type === 'attempt') {
        const attempt = attemptOf(run, event.step, event.attempt);
        if (attempt && !isOpen(attempt.state) && attempt.endedAtMs === event.atMs) attemptsEnded.inc({ state: attempt.state });
      } else if (event.type === 'finished') {
        runsEnded.inc({ state: event.state, type: run.type });
        created.take(run.id);
      }
    }
  };

  const measure = () => {
    const state = farm();
    for (const g of [tasks, oldest, queueAgents]) g.reset();
    for (const { queue, ready, held, running, agents: serving, oldestSinceMs } of queueDepths(state, mostQueues)) {
      tasks.set({ queue, state: 'ready' }, ready);
      tasks.set({ queue, state: 'held' }, held);
      tasks.set({ queue, state: 'running' }, running);
      queueAgents.set({ queue }, serving);
      oldest.set({ queue }, oldestSinceMs === undefined ? 0 : seconds(wallMs() - oldestSinceMs));
    }
    const runs = [...state.runs.values()];
    for (const s of openStates) openRuns.set({ state: s }, runs.filter((run) => run.state === s).length);
    unarchived.set(runs.filter(hasEnded).length);
    const known = [...state.agents.values()].map((a) => (a.silentSinceMs === undefined ? a.state : 'silent'));
    for (const s of agentStates) agents.set({ state: s }, known.filter((a) => a === s).length);
    leader.set(leads() ? 1 : 0);
    term.set(state.term);
    sequence.set(state.seq);
    configProblems.set(state.config.problems.length);
    for (const { name, freeBytes, leastFreeBytes } of disks()) {
      diskFree.set({ disk: name }, freeBytes);
      diskNeeded.set({ disk: name }, leastFreeBytes);
    }
    intakeOpen.set(disks().some((d) => d.full) ? 0 : 1);
  };

  let collecting = false;
  return {
    contentType: registry.contentType,
    text: () => {
      if (!collecting) collectDefaultMetrics({ register: registry });
      collecting = true;
      measure();
      return registry.metrics();
    },
    folded: ({ record, seq, changedRuns: [run] }) => {
      if (seq <= countedSeq) return;
      countedSeq = seq;
      records.inc({ type: knownType(record.type) });
      if (record.type === 'verdict') countVerdict(record);
      else if (record.type === 'run' && run) countRun(record, run);
    },
    accepted: ({ source, id }) => {
      accepted.inc({ source });
      stored.put(`${source}/${id}`, wallMs());
    },
    appended: (outcome) => appends.inc({ outcome }),
    logStored: (bytes) => logBytes.inc(bytes),
    answered: ({ method, route = 'none', status, ms }) => {
      requests.inc({ method: methods.has(method) ? method : 'other', route, status });
      answering.observe({ route }, ms / 1_000);
    },
  };
}

/** Clocks of two controllers may differ: never below nothing. */
const seconds = (ms: number): number => Math.max(0, ms) / 1_000;

const types = ['leader', 'alive', 'verdict', 'run', 'agent', 'config', 'snapshot', 'checkpoint'] satisfies FarmRecord['type'][];
/** Newer leaders may write what this program does not know. */
const knownType = (type: string): string => ((types as string[]).includes(type) ? type : 'other');

/** Remembers at most `most`, the newest. */
function bounded<T>(most: number): { put: (key: string, value: T) => void; take: (key: string) => T | undefined } {
  const map = new Map<string, T>();
  return {
    put: (key, value) => {
      map.set(key, value);
      for (const oldestKey of map.keys()) {
        if (map.size <= most) break;
        map.delete(oldestKey);
      }
    },
    take: (key) => {
      const value = map.get(key);
      map.delete(key);
      return value;
    },
  };
}

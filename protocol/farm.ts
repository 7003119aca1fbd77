import { pullKey } from './change.ts';
import type { Agent, ConfigState, FarmChange, FarmRecord, Positions, PullState } from './record.ts';
import { recordVersion } from './record.ts';
import { applyToRun, hasEnded, openRun, type Run, wantsCancel } from './run.ts';

/**
 * The farm's state, folded from `RUNS`. A fold changes it in place; what it holds (runs, agents) is never changed, only replaced,
 * so a reader may keep what it was given and a copy costs one level.
 */
export class Farm {
  /** Sequence of the last record folded; 0: none. */
  seq = 0;
  term = 0;
  /** How many records of that term counted. */
  nth = 0;
  leader = '';
  leaderUrl = '';
  positions: Positions = { deliveries: 0, notices: 0 };
  lastRunId = '0';
  /** Highest `v` seen: above `recordVersion` this program must not lead. */
  level = 0;
  /** Runs that are open, or ended and not yet archived. */
  readonly runs = new Map<string, Run>();
  readonly agents = new Map<string, Agent>();
  readonly pausedQueues = new Map<string, { by: string; reason: string }>();
  readonly pulls = new Map<string, PullState>();
  config: ConfigState = { hash: null, loadedAtMs: 0, jobs: 0, problems: [] };
  /** Runs that have not ended, by `org/repo#number`. Derived. */
  readonly openByPull = new Map<string, Set<string>>();
  /** Runs that a verdict asked to cancel and whose own record does not say so yet. Derived. */
  readonly cancelAsked = new Set<string>();

  /**
   * Whether a record that is stored next says anything. Not: one of a leader whose term is over, and one before which another of its own term is
   * missing. Every reader of the stream sees the same ones.
   */
  counts(record: FarmRecord): boolean {
    if (this.seq === 0 || record.term > this.term) return true;
    return record.term === this.term && record.type !== 'leader' && (record.nth === undefined || record.nth === this.nth + 1);
  }

  /** Folds one record, which may not count. @returns the ids of the runs that it changed */
  fold(record: FarmRecord, seq: number): string[] {
    const counts = this.counts(record);
    this.seq = seq;
    if (!counts) return [];
    this.nth = record.nth ?? (record.term > this.term ? 1 : this.nth + 1);
    this.term = record.term;
    this.level = Math.max(this.level, record.v);
    if (record.v > recordVersion) return [];
    switch (record.type) {
      case 'leader':
        this.leader = record.id;
        this.leaderUrl = record.url;
        return [];
      case 'alive':
        return [];
      case 'verdict': {
        this.positions = record.positions;
        const { creates, cancels, changes } = record.verdict;
        const changed = creates.map((c) => c.id);
        for (const created of creates) {
          this.put(openRun(created));
          if (later(created.id, this.lastRunId)) this.lastRunId = created.id;
        }
        for (const { run: id, by, reason, force } of cancels) {
          const run = this.runs.get(id);
          if (!run || hasEnded(run)) continue;
          // Asking again without force does not take back a force that was asked for.
          const cancelAsked = run.cancelAsked?.force && !force ? run.cancelAsked : { by, reason, force };
          this.put({ ...run, cancelAsked, n: run.n + 1 });
          changed.push(id);
        }
        for (const change of changes) this.change(change);
        return changed;
      }
      case 'run': {
        this.positions = record.positions;
        const run = this.runs.get(record.run);
        if (!run || record.n <= run.n) return [];
        let after = run;
        for (const event of record.events) after = applyToRun(after, event);
        this.put({ ...after, n: record.n });
        return [record.run];
      }
      case 'snapshot': {
        if (record.run.n <= (this.runs.get(record.run.id)?.n ?? 0)) return [];
        this.put(record.run);
        return [record.run.id];
      }
      case 'agent': {
        const agent = this.agents.get(record.agent);
        if (!agent) return [];
        const { silentSinceMs: _, ...heard } = agent;
        this.agents.set(agent.id, record.silentSinceMs === null ? heard : { ...heard, silentSinceMs: record.silentSinceMs });
        return [];
      }
      case 'config':
        this.config =
          record.hash === null
            ? { ...this.config, problems: record.problems, problemsAtMs: record.atMs }
            : { hash: record.hash, loadedAtMs: record.atMs, jobs: record.jobs, problems: [] };
        return [];
      case 'checkpoint':
        this.leader = record.leader;
        this.leaderUrl = record.leaderUrl ?? this.leaderUrl;
        this.positions = record.positions;
        this.lastRunId = record.lastRunId;
        this.config = record.config;
        replace(
          this.agents,
          record.agents.map((a) => [a.id, a] as const),
        );
        replace(this.pausedQueues, record.queues);
        replace(this.pulls, record.pulls);
        return [];
      default:
        // A type that this level does not know; it is kept in the stream for those who do.
        return [];
    }
  }

  /** A copy that can be folded further without changing this one. */
  copy(): Farm {
    const farm = new Farm();
    farm.seq = this.seq;
    farm.term = this.term;
    farm.nth = this.nth;
    farm.leader = this.leader;
    farm.leaderUrl = this.leaderUrl;
    farm.positions = this.positions;
    farm.lastRunId = this.lastRunId;
    farm.level = this.level;
    farm.config = this.config;
    for (const run of this.runs.values()) farm.put(run);
    replace(farm.agents, this.agents);
    replace(farm.pausedQueues, this.pausedQueues);
    replace(farm.pulls, this.pulls);
    return farm;
  }

  private change(change: FarmChange): void {
    switch (change.type) {
      case 'agent':
        this.agents.set(change.agent.id, change.agent);
        return;
      case 'agent-state': {
        const agent = this.agents.get(change.agent);
        if (agent) this.agents.set(agent.id, { ...agent, state: change.state, stateBy: change.by });
        return;
      }
      case 'queue':
        if (change.paused) this.pausedQueues.set(change.queue, change.paused);
        else this.pausedQueues.delete(change.queue);
        return;
      case 'pull':
        if (change.pull) this.pulls.set(change.key, change.pull);
        else this.pulls.delete(change.key);
    }
  }

  private put(run: Run): void {
    if (run.archived) this.runs.delete(run.id);
    else this.runs.set(run.id, run);
    if (wantsCancel(run)) this.cancelAsked.add(run.id);
    else this.cancelAsked.delete(run.id);
    const key = pullKey(run.refs);
    if (key === undefined) return;
    const open = this.openByPull.get(key) ?? new Set();
    if (hasEnded(run)) open.delete(run.id);
    else open.add(run.id);
    if (open.size > 0) this.openByPull.set(key, open);
    else this.openByPull.delete(key);
  }
}

/** Whether run id `a` was minted after `b`: both are decimal digits, but not always equally many. */
export const later = (a: string, b: string): boolean => (a.length === b.length ? a > b : a.length > b.length);

const replace = <K, V>(map: Map<K, V>, entries: Iterable<readonly [K, V]>): void => {
  const next = [...entries];
  map.clear();
  for (const [key, value] of next) map.set(key, value);
};

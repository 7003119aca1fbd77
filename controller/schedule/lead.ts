import { isOpen } from '../../protocol/attempt.ts';
import type { Beat } from '../../protocol/beat.ts';
import { following } from '../../protocol/dag.ts';
import type { Delivery } from '../../protocol/delivery.ts';
import { type FarmError, messageOf } from '../../protocol/errors.ts';
import type { Farm } from '../../protocol/farm.ts';
import type { JobConfig } from '../../protocol/job.ts';
import type { Notice, NoticeAddress } from '../../protocol/notice.ts';
import type { AgentState, Verdict } from '../../protocol/record.ts';
import {
  attemptOf,
  hasEnded,
  isSettled,
  lastAttempt,
  openAttempts,
  type Run,
  type RunReport,
  stepOf,
  wantsCancel,
} from '../../protocol/run.ts';
import type { AttemptKey, Task } from '../../protocol/task.ts';
import type { Times } from '../../protocol/times.ts';
import type { Confirmed, Folded } from '../store/confirmed.ts';
import type { Log } from '../store/log.ts';
import type { RunsWriter } from '../store/writer.ts';
import { type Archived, Archiving } from './archiving.ts';
import { Deciding } from './deciding.ts';
import { heard } from './heard.ts';
import { Holdings } from './holdings.ts';
import { Liveness } from './liveness.ts';
import { orders } from './orders.ts';
import { Outbox } from './outbox.ts';
import { type Answer, Parked } from './parked.ts';
import { Waiting } from './waiting.ts';

/** Moments at which a test may end the process; see `LeadDeps.probe`. */
export type Probe = 'verdict-stored' | 'assigned-stored' | 'snapshot-stored' | 'checkpoint-stored';

export type LeadDeps = {
  term: number;
  confirmed: Confirmed;
  writer: RunsWriter;
  times: Times;
  log: Log;
  /** Monotonic milliseconds. */
  now: () => number;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** The last good job configuration, read anew; problems when a newer one is no good. Never rejects. */
  loadJobs: () => Promise<JobsLoad>;
  /** Decides a delivery, fetching what facts that takes; what is big is in object storage when it resolves. Rejects only when aborted. */
  judge: (delivery: Delivery, seq: number, farm: Farm, jobs: JobConfig, signal: AbortSignal) => Promise<Verdict>;
  deliveries: (fromSeq: number, signal: AbortSignal) => AsyncIterable<{ seq: number; delivery: Delivery }>;
  notices: (fromSeq: number, signal: AbortSignal) => AsyncIterable<{ seq: number; address?: NoticeAddress; notice?: Notice }>;
  /** Answers `beat.*` until the returned function is called. */
  beats: (hear: (agent: string, beat: Beat, answer: Answer) => void) => () => void;
  /** Everything an agent needs for an attempt. Rejects when it cannot be had (a secret that is missing). */
  makeTask: (run: Run, agent: string, key: AttemptKey, term: number) => Promise<Task>;
  /** @param again an earlier message of this attempt may be there: replace it */
  publishTask: (task: Task, again: boolean) => Promise<void>;
  /** Puts an ended run where it is kept: its log and its document. Rejects when that is not possible now. */
  archive: (run: Run, signal: AbortSignal) => Promise<Archived>;
  /** Tells the outside what runs came to; absent: this farm tells nobody. */
  reports?: Reports;
  /** Removes the records of `RUNS` below `seq`, and the notices up to `notices`. */
  purge: (seq: number, notices: number) => Promise<void>;
  probe?: (point: Probe) => void;
};

/** What the leader asks of its reporter. */
export type Reports = {
  /** Runs that an earlier leader may have reported on. */
  takeUp: (runs: Iterable<Run>) => void;
  /** A run is stored in this state. */
  want: (run: Run) => void;
  /** Of an ended run; 'nothing': it is not reported. */
  outcomeOf: (run: Run) => RunReport | 'not yet' | 'nothing';
  forget: (run: string) => void;
  stop: () => void;
};

export type JobsLoad = { config?: JobConfig; problems: string[] };

const tickMs = 500;

/** The controller that leads: it decides everything, one input at a time, until its writer is refused. */
export class Lead {
  /** Resolves when this leader has ended, with the reason; never rejects. */
  readonly over: Promise<string>;
  readonly #deps: LeadDeps;
  readonly #deciding: Deciding;
  readonly #waiting: Waiting;
  readonly #liveness: Liveness;
  readonly #outbox: Outbox;
  readonly #parked = new Parked();
  readonly #abort = new AbortController();
  readonly #end: (why: string) => void;
  readonly #holdings = new Holdings();
  readonly #archiving: Archiving;
  /** Ended runs whose logs and document are kept, and whose report is not made. */
  readonly #keptUnreported = new Set<string>();
  #jobs: JobConfig = { hash: '', jobs: [] };
  #scheduled = false;
  #stopBeats: (() => void) | undefined;
  #stopListening: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #proof: Promise<boolean> | undefined;

  constructor(deps: LeadDeps) {
    this.#deps = deps;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.over = promise;
    this.#end = resolve;
    this.#deciding = new Deciding({
      farm: deps.confirmed.farm.copy(),
      term: deps.term,
      writer: deps.writer,
      wallMs: deps.wallMs,
      touched: (run) => this.#touched(run),
      failed: (error: FarmError) => this.stop(messageOf(error)),
    });
    this.#waiting = new Waiting((queue) => this.#deciding.farm.pausedQueues.has(queue));
    this.#liveness = new Liveness(deps.times, deps.now());
    this.#outbox = new Outbox(deps.times.unacceptedMs);
    this.#archiving = new Archiving((id, signal) => this.#archive(id, signal), deps.log);
  }

  get term(): number {
    return this.#deps.term;
  }

  /** Takes up what is there, then goes on. Resolves when deliveries are being decided. */
  async start(): Promise<void> {
    await this.reloadJobs();
    if (this.#abort.signal.aborted) return;
    for (const run of this.#deciding.farm.runs.values()) this.#takeUp(run);
    this.#stopBeats = this.#deps.beats((agent, beat, answer) => void this.#beat(agent, beat, answer));
    this.#deps.reports?.takeUp(this.#deps.confirmed.farm.runs.values());
    this.#stopListening = this.#deps.confirmed.listen((folded) => {
      for (const agent of concerned(folded)) this.#nudge(agent);
      this.#report(folded);
    });
    this.#timer = setInterval(() => this.#tick(), tickMs);
    void this.#pump(() => this.#decideDeliveries());
    void this.#pump(() => this.#decideNotices());
    this.#schedule();
  }

  /** Ends this leader's part: everything parked is asked again, nothing more is decided. */
  stop(why: string): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    clearInterval(this.#timer);
    this.#stopBeats?.();
    this.#stopListening?.();
    this.#parked.clear();
    this.#archiving.stop();
    this.#deps.reports?.stop();
    this.#end(why);
  }

  /** Reads the job configuration again and says in `RUNS` what came of it. */
  async reloadJobs(): Promise<void> {
    const { config, problems } = await this.#deps.loadJobs();
    const known = this.#deciding.farm.config;
    if (config) this.#jobs = config;
    if (this.#abort.signal.aborted) return;
    if (problems.length > 0) {
      if (problems.join('\n') === known.problems.join('\n')) return;
      await this.#deciding.commit({ type: 'config', hash: null, problems: problems.slice(0, 100), jobs: 0 });
    } else if (config && (config.hash !== known.hash || known.problems.length > 0))
      await this.#deciding.commit({ type: 'config', hash: config.hash, problems: [], jobs: config.jobs.length });
  }

  /** Writes all that is open once more, then removes what came before. @returns the first sequence that is kept */
  async checkpoint(): Promise<number> {
    const { farm } = this.#deciding;
    const first = farm.seq + 1;
    for (const id of [...farm.runs.keys()]) {
      const run = farm.runs.get(id);
      if (run)
        void this.#deciding.commit({ type: 'snapshot', run }).then((stored) => stored && this.#deps.probe?.('snapshot-stored'));
      await this.#deciding.room();
    }
    const stored = await this.#deciding.commit({
      type: 'checkpoint',
      leader: farm.leader,
      leaderUrl: farm.leaderUrl,
      lastRunId: farm.lastRunId,
      agents: [...farm.agents.values()],
      queues: [...farm.pausedQueues],
      pulls: [...farm.pulls],
      config: farm.config,
    });
    if (stored) this.#deps.probe?.('checkpoint-stored');
    if (stored) await this.#deps.purge(first, this.#deps.confirmed.farm.positions.notices);
    return first;
  }

  async #pump(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#deps.log.error({ err: error }, 'the leader met an error of its own and steps down');
      this.stop(messageOf(error));
    }
  }

  async #decideDeliveries(): Promise<void> {
    const { signal } = this.#abort;
    const { positions, farm } = this.#deciding;
    for await (const { seq, delivery } of this.#deps.deliveries(positions.deliveries + 1, signal)) {
      const verdict = await this.#deps.judge(delivery, seq, farm, this.#jobs, signal);
      await this.#deciding.room();
      if (signal.aborted) return;
      positions.deliveries = seq;
      const { source, id } = delivery;
      void this.#deciding
        .commit({ type: 'verdict', source, id, verdict })
        .then((stored) => stored && this.#deps.probe?.('verdict-stored'));
      for (const { run } of verdict.cancels) this.#follow(run);
      for (const change of verdict.changes) if (change.type === 'agent-state') this.#agentChanged(change.agent, change.state);
      this.#schedule();
    }
  }

  async #decideNotices(): Promise<void> {
    const { signal } = this.#abort;
    const { positions, farm } = this.#deciding;
    for await (const { seq, address, notice } of this.#deps.notices(positions.notices + 1, signal)) {
      await this.#deciding.room();
      if (signal.aborted) return;
      positions.notices = seq;
      if (!address || !notice) continue;
      this.#outbox.named(address.agent, address, this.#deps.now());
      const run = farm.runs.get(address.run);
      const cause = heard(run, address, notice, this.#deps.wallMs());
      if (cause === 'refused') this.#deps.log.info({ ...address }, 'a notice of an attempt that is not that agent’s was refused');
      else if (cause !== 'unchanged' && run) void this.#deciding.act(run, cause);
      if (this.#liveness.get(address.agent)?.draining) this.#letLeave(address.agent);
    }
  }

  async #beat(agent: string, beat: Beat, answer: Answer): Promise<void> {
    const nowMs = this.#deps.now();
    const known = { confirmed: this.#deps.confirmed.farm, sent: this.#deciding.farm };
    const said = orders(agent, beat, known, this.term);
    const mayGo = this.#liveness.get(agent)?.mayGo === true;
    this.#liveness.beat(agent, beat, said.orders.revoke.length, this.#mayGo(agent, beat), nowMs);
    for (const key of beat.held) this.#outbox.named(agent, key, nowMs);
    const farmAgent = this.#deciding.farm.agents.get(agent);
    if (farmAgent?.silentSinceMs !== undefined) void this.#deciding.commit({ type: 'agent', agent, silentSinceMs: null });
    if (beat.draining) this.#leaveHomes(agent);
    this.#schedule();
    const goes = !mayGo && this.#mayGo(agent, beat);
    if (said.urgent || goes) await this.#answer(agent, beat, answer);
    else this.#parked.hold(agent, beat, answer, this.#deps.times.beatHoldMs, () => this.#answerParked(agent));
  }

  /** Answers by what is known after this leader has proved that it still leads. */
  async #answer(agent: string, beat: Beat, answer: Answer): Promise<void> {
    if (!(await this.proven())) return answer({ v: 1, type: 'again' });
    answer(orders(agent, beat, { confirmed: this.#deps.confirmed.farm, sent: this.#deciding.farm }, this.term).orders);
  }

  #answerParked(agent: string): void {
    const held = this.#parked.take(agent);
    if (held) void this.#answer(agent, held.beat, held.answer);
  }

  /** Answers a parked beat now if there is something to say. */
  #nudge(agent: string): void {
    const beat = this.#parked.peek(agent);
    if (!beat) return;
    const known = { confirmed: this.#deps.confirmed.farm, sent: this.#deciding.farm };
    if (orders(agent, beat, known, this.term).urgent) this.#answerParked(agent);
  }

  /** True once an append that was sent within the last `takeoverMs` is acknowledged; asks for one when there is none. */
  async proven(): Promise<boolean> {
    if (!this.isProven() && !this.#abort.signal.aborted) {
      this.#proof ??= this.#deciding.commit({ type: 'alive' }).finally(() => {
        this.#proof = undefined;
      });
      await this.#proof;
    }
    return this.isProven();
  }

  /** The report of a run is made or given up: nothing more is waited for. */
  reported(run: string): void {
    if (this.#keptUnreported.has(run)) this.#archiving.wake(run);
  }

  /** Whether the last proof is young enough for nobody else to lead. */
  isProven(): boolean {
    const { writer, now, times } = this.#deps;
    return now() - writer.provenAtMs <= times.takeoverMs && !this.#abort.signal.aborted;
  }

  #tick(): void {
    const { now, wallMs, writer, times } = this.#deps;
    const nowMs = now();
    this.#liveness.tick(nowMs);
    if (this.#holdings.any && nowMs - writer.provenAtMs > times.takeoverMs / 3 && writer.pending === 0)
      void this.#deciding.commit({ type: 'alive' });
    for (const agent of this.#deciding.farm.agents.values()) {
      if (agent.state === 'revoked') {
        // Once more for what an earlier leader, or a run that had not heard of it, has left.
        this.#giveAway(agent.id, wasRevoked(agent.id));
        continue;
      }
      if (agent.silentSinceMs === undefined && this.#liveness.isSilent(agent.id, nowMs))
        void this.#deciding.commit({ type: 'agent', agent: agent.id, silentSinceMs: wallMs() });
      if (this.#liveness.isLost(agent.id, nowMs))
        this.#giveAway(agent.id, `agent '${agent.id}' was not heard for ${Math.round(times.leaseMs / 1000)} s`);
    }
    const due = this.#outbox.due(nowMs, (agent) => this.#liveness.isLive(agent, nowMs));
    for (const { agent, ...key } of due.again) void this.#give(agent, key, true);
    for (const { agent, ...key } of due.giveUp) this.#expire(key, `agent '${agent}' did not take the task`);
    this.#schedule();
  }

  /** Everything that an agent held is lost, and no workspace on it is anybody's home any more. */
  #giveAway(agent: string, why: string): void {
    for (const key of this.#holdings.attempts(agent)) this.#expire(key, why);
    for (const id of this.#holdings.homeOf(agent)) this.#homeless(id, why, true);
  }

  /** A leaving agent holds nothing, here and there: it waits for an answer before it goes. */
  #mayGo(agent: string, beat: Beat): boolean {
    return beat.draining && beat.held.length === 0 && this.#holdings.count(agent) === 0;
  }

  /** A leaving agent holds one attempt less. */
  #letLeave(agent: string): void {
    this.#leaveHomes(agent);
    const parked = this.#parked.peek(agent);
    if (parked && this.#mayGo(agent, parked)) this.#answerParked(agent);
  }

  /** The runs whose workspace is on an agent that leaves of its own will and runs nothing of theirs now. */
  #leaveHomes(agent: string): void {
    for (const id of this.#holdings.homeOf(agent)) {
      const run = this.#deciding.farm.runs.get(id);
      if (run && openAttempts(run).length === 0) this.#homeless(id, `agent '${agent}' is leaving`, false);
    }
  }

  #expire(key: AttemptKey, message: string): void {
    const run = this.#deciding.farm.runs.get(key.run);
    const attempt = run && attemptOf(run, key.step, key.attempt);
    if (!run || !attempt || !isOpen(attempt.state)) return;
    const { step, attempt: number } = key;
    void this.#deciding.act(run, {
      type: 'attempt',
      step,
      attempt: number,
      event: 'expire',
      atMs: this.#deps.wallMs(),
      end: { message },
    });
  }

  #homeless(id: string, why: string, spent: boolean): void {
    const run = this.#deciding.farm.runs.get(id);
    if (run && !hasEnded(run) && run.home !== undefined && run.at.some((s) => !isSettled(s.state)))
      void this.#deciding.act(run, { type: 'homeless', why, spent });
  }

  #agentChanged(agent: string, state: AgentState): void {
    if (state === 'revoked') this.#giveAway(agent, wasRevoked(agent));
  }

  /** Carries on what an earlier leader left undone for a run. */
  #takeUp(run: Run): void {
    this.#index(run);
    const nowMs = this.#deps.now();
    for (const { step, attempt } of openAttempts(run)) {
      if (attempt.state !== 'assigned' || this.#deciding.farm.agents.get(attempt.agent)?.state === 'revoked') continue;
      const key = { run: run.id, step, attempt: attempt.attempt };
      this.#outbox.put(attempt.agent, key, nowMs);
      void this.#give(attempt.agent, key, false);
    }
    const left = following(run, this.#deps.wallMs());
    if (wantsCancel(run)) this.#follow(run.id);
    else if (left.length > 0) void this.#deciding.record(run, left);
  }

  /** The cancel that a verdict has asked for becomes the run's own. */
  #follow(id: string): void {
    const run = this.#deciding.farm.runs.get(id);
    if (run?.cancelAsked && wantsCancel(run))
      void this.#deciding.act(run, { type: 'cancel', atMs: this.#deps.wallMs(), ...run.cancelAsked });
  }

  #touched(run: Run): void {
    this.#index(run);
    this.#schedule();
  }

  #index(run: Run): void {
    this.#waiting.put(run);
    this.#holdings.put(run);
    if (hasEnded(run) && !run.archived) this.#archiving.put(run.id);
  }

  async #archive(id: string, signal: AbortSignal): Promise<Archived> {
    let run = this.#deciding.farm.runs.get(id);
    if (!run) return 'archived';
    const report = run.report ? 'nothing' : (this.#deps.reports?.outcomeOf(run) ?? 'nothing');
    if (report === 'not yet' && this.#keptUnreported.has(id)) return 'not yet';
    if (report !== 'nothing' && report !== 'not yet') {
      await this.#deciding.record(run, [{ type: 'reported', ...report }]);
      run = this.#deciding.farm.runs.get(id) ?? run;
    }
    if (signal.aborted) return 'not yet';
    const result = await this.#deps.archive(run, signal);
    if (result !== 'archived' || signal.aborted) return result;
    if (report === 'not yet') {
      this.#keptUnreported.add(id);
      return 'not yet';
    }
    this.#keptUnreported.delete(id);
    await this.#deciding.record(run, [{ type: 'archived' }]);
    return 'archived';
  }

  /** What is stored is told, never what is only decided. */
  #report({ record, changedRuns }: Folded): void {
    const { reports } = this.#deps;
    if (!reports) return;
    for (const run of changedRuns) reports.want(run);
    if (record.type === 'run' && record.events.some((e) => e.type === 'archived')) reports.forget(record.run);
  }

  #schedule(): void {
    if (this.#scheduled || this.#abort.signal.aborted) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#pump(() => this.#assignAll());
    });
  }

  /** Gives out what waits, one task to each agent in turn, those with most room first. */
  async #assignAll(): Promise<void> {
    const takers = this.#takers();
    while (takers.length > 0 && this.#waiting.size > 0) {
      takers.sort((a, b) => a.free - b.free);
      for (let i = takers.length - 1; i >= 0; i -= 1) {
        const taker = takers[i];
        if (!taker || this.#abort.signal.aborted) return;
        const ready = this.#waiting.next(taker);
        if (ready) this.#assign(taker.agent, ready.run, ready.step);
        taker.free -= 1;
        if (!ready || taker.free <= 0) takers.splice(i, 1);
      }
      await this.#deciding.room();
    }
  }

  #takers() {
    const nowMs = this.#deps.now();
    const takers = [];
    for (const agent of this.#deciding.farm.agents.values()) {
      const heard = this.#liveness.get(agent.id);
      if (!heard || heard.draining || agent.state === 'revoked' || !this.#liveness.isLive(agent.id, nowMs)) continue;
      const free = heard.slots - heard.zombies - this.#holdings.count(agent.id);
      if (free > 0)
        takers.push({
          agent: agent.id,
          queues: agent.queues,
          trust: agent.trust,
          shared: agent.shared ?? false,
          homeOnly: agent.state !== 'serving',
          free,
        });
    }
    return takers;
  }

  #assign(agent: string, id: string, step: string): void {
    const run = this.#deciding.farm.runs.get(id);
    if (!run) return;
    const attempt = (lastAttempt(stepOf(run, step))?.attempt ?? 0) + 1;
    const key = { run: id, step, attempt };
    this.#outbox.put(agent, key, this.#deps.now());
    void this.#deciding.act(run, { type: 'assigned', step, attempt, agent, atMs: this.#deps.wallMs() }).then((stored) => {
      if (!stored) return;
      this.#deps.probe?.('assigned-stored');
      return this.#give(agent, key, false);
    });
  }

  /** Publishes the task of an attempt that is still the agent's. */
  async #give(agent: string, key: AttemptKey, again: boolean): Promise<void> {
    const { log, makeTask, publishTask } = this.#deps;
    const run = this.#deciding.farm.runs.get(key.run);
    const attempt = run && attemptOf(run, key.step, key.attempt);
    if (!run || attempt?.state !== 'assigned') return this.#outbox.drop(key);
    let task: Task;
    try {
      task = await makeTask(run, agent, key, this.term);
    } catch (error) {
      const now = this.#deciding.farm.runs.get(key.run);
      const end = { message: messageOf(error), logBytes: 0 };
      const { step, attempt: number } = key;
      if (now && !this.#abort.signal.aborted)
        void this.#deciding.act(now, { type: 'attempt', step, attempt: number, event: 'error', atMs: this.#deps.wallMs(), end });
      return;
    }
    if (!(await this.proven())) return;
    try {
      await publishTask(task, again);
    } catch (error) {
      log.warn({ err: error, ...key, agent }, 'a task could not be published; it is published again');
    }
  }
}

const wasRevoked = (agent: string): string => `agent '${agent}' was revoked`;

/** The agents to which a stored record gives something to say at once. */
function concerned({ record, changedRuns: [run] }: Folded): string[] {
  if (record.type === 'verdict') return record.verdict.changes.flatMap((c) => (c.type === 'agent-state' ? c.agent : []));
  if (record.type !== 'run' || !run) return [];
  return record.events.flatMap((e) =>
    e.type === 'attempt' && (e.event === 'cancel' || e.event === 'expire')
      ? (attemptOf(run, e.step, e.attempt)?.agent ?? [])
      : [],
  );
}

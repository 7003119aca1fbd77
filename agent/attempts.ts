import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Beat, Orders } from '../protocol/beat.ts';
import { messageOf } from '../protocol/errors.ts';
import type { Notice } from '../protocol/notice.ts';
import { type AttemptKey, keyOf, type Task } from '../protocol/task.ts';
import { stepEnvironment } from './environment.ts';
import type { Executor, ExecutorJob, Handle, Started, StepEnd } from './executor/executor.ts';
import type { Guard } from './guard.ts';
import type { HeldAttempt, Journal } from './journal.ts';
import type { Collect, Collected } from './ship/artifacts/collect.ts';
import { createMask } from './ship/mask.ts';
import type { Shipping } from './ship/ship.ts';
import type { Spool } from './ship/spool.ts';
import { defaultWorkdir } from './workspace/default-workdir.ts';

export type AttemptsDeps = {
  agent: string;
  slots: number;
  log: Logger;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  executor: Executor;
  /** Whether steps of people whom the repository does not trust may run here. */
  takesUntrusted: boolean;
  journal: Journal;
  /** The workspace of a run's round and two directories of this attempt's own, all absolute. */
  openWorkspace: (task: Task) => Promise<{ workspace: string; scratch: string; artifacts: string; marks?: string }>;
  /** For the watchdog. @param marks of a shared workspace */
  guard: Pick<Guard, 'begun' | 'ended'>;
  /** Nothing of the step is alive any more: who works in its workspace next need not wait. */
  leftWorkspace: (task: Task) => void;
  openSecrets: (task: Task) => Record<string, string>;
  openSpool: (task: Task) => Promise<Spool>;
  /** As `ExecutorJob.fetchSource`; undefined: its source is in a repository. */
  fetchSource?: (task: Task) => ExecutorJob['fetchSource'];
  /** Ships a spool to a controller until all of it is stored, or it is refused. */
  ship: Pick<Shipping, 'add'>;
  /** Stores what an ended step has left. Never rejects. */
  collect: (what: Collect) => Promise<Collected>;
  sendNotices: (key: AttemptKey) => void;
  /** The agent ends. */
  stopping: AbortSignal;
  /** What the agent has to say has changed. */
  changed: () => void;
};

/**
 * starting: on its way to the executor. running, stopping: a step is there. ended: its end is journalled and on its way to the farm.
 * revoked: it is being killed, and nobody wants to hear of it.
 */
type Phase = 'starting' | 'running' | 'stopping' | 'ended' | 'revoked';

type Live = {
  task: Task;
  phase: Phase;
  started?: Started;
  spool?: Spool;
  /** Why it is given back instead of ended. */
  returned?: string;
  /** Where the step leaves its files. */
  artifacts?: string;
  /** Ends the collecting of its files, which it waits for otherwise. */
  collecting: AbortController;
  noticesStored: boolean;
  logStored: boolean;
  over: Promise<void>;
};

/**
 * Kills what an earlier agent process left running and nobody can go on with: before anything else, as nobody may be there to tell it to.
 * @returns the attempts of which something was there
 */
export async function reap({ executor, journal, log }: Pick<AttemptsDeps, 'executor' | 'journal' | 'log'>): Promise<Set<string>> {
  const killed = new Set<string>();
  for (const { task, handle, ended } of journal.held()) {
    if (ended || isAdoptable(executor, handle)) continue;
    const wasThere = handle !== undefined && (await executor.reap(handle));
    if (wasThere) killed.add(keyOf(task));
    log.warn(
      keyIn(task),
      wasThere ? 'killed a step that an earlier agent process left running' : 'an attempt of an earlier agent process is lost',
    );
  }
  return killed;
}

/** The attempts that this agent holds: takes them, runs them, tells how they end, and lets go when the farm has all of it. */
export class Attempts {
  readonly #deps: AttemptsDeps;
  readonly #live = new Map<string, Live>();
  #draining = false;
  #waitingForChange: (() => void)[] = [];

  constructor(deps: AttemptsDeps) {
    this.#deps = deps;
  }

  /** Attempts that fill a slot. */
  get running(): number {
    return [...this.#live.values()].filter((l) => l.phase !== 'ended').length;
  }

  get #leaving(): string {
    return `agent '${this.#deps.agent}' is leaving`;
  }

  /** What the beat says of them. */
  said(): Pick<Beat, 'held' | 'slots' | 'draining' | 'shipping'> {
    const all = [...this.#live.values()];
    const { slots } = this.#deps;
    return {
      held: all
        .filter((l) => l.phase !== 'revoked' && !l.noticesStored)
        .map(({ task: { run, step, attempt }, phase }) => ({
          run,
          step,
          attempt,
          stopping: phase === 'stopping' || phase === 'ended',
        })),
      slots: { total: slots, free: this.#draining ? 0 : Math.max(0, slots - this.running) },
      draining: this.#draining,
      shipping: all.filter((l) => !l.logStored).length,
    };
  }

  /** Resolves when a task can be taken: a slot is free, or it would be given back at once. */
  async slot(signal: AbortSignal): Promise<void> {
    while (!this.#draining && this.running >= this.#deps.slots) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.#waitingForChange.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    signal.throwIfAborted();
  }

  /**
   * Takes a task, unless it is known already or comes from a leader of the past; while draining only to give it back. It is journalled when this
   * returns.
   */
  take(task: Task): void {
    const { journal, log } = this.#deps;
    const key = keyIn(task);
    const seen = journal.highestTerm();
    if (task.term < seen) {
      log.warn({ ...key, term: task.term, seen }, 'a task of an earlier term was left alone');
      return;
    }
    journal.raiseTerm(task.term);
    if (!journal.accept(task)) return;
    const live = newLive(task, 'starting');
    if (this.#draining) live.returned = this.#leaving;
    this.#live.set(keyOf(key), live);
    live.over = this.#run(live, this.#execute(live));
    this.#changed();
  }

  /** Carries out what the leader says about them. */
  heed(orders: Orders): void {
    const { journal } = this.#deps;
    if (orders.term < journal.highestTerm()) return;
    journal.raiseTerm(orders.term);
    for (const key of orders.cancel) this.#stop(key);
    for (const key of orders.revoke) this.#revoke(key);
  }

  /** Starts nothing new from now on: what still comes is given back at once. */
  drain(): void {
    this.#draining = true;
    this.#changed();
  }

  /** Whether a step runs, or may still be dying, in the workspace of this round. */
  usesWorkspace(run: string, round: number): boolean {
    return [...this.#live.values()].some((l) => l.task.run === run && l.task.round === round && l.phase !== 'ended');
  }

  /** Stops what still runs and gives it back: it did not fail. Resolves when all of it has ended. */
  async giveBack(): Promise<void> {
    const running = [...this.#live.values()].filter((l) => l.phase !== 'ended');
    for (const live of running) {
      live.returned = this.#leaving;
      live.started?.stop();
      live.collecting.abort(new Error(this.#leaving));
    }
    await Promise.all(running.map((l) => l.over));
  }

  /** Resolves when nothing runs. */
  async idle(signal: AbortSignal): Promise<void> {
    await untilAborted(Promise.all([...this.#live.values()].map((l) => l.over)), signal);
  }

  /** Resolves when the farm has everything of every attempt. */
  async allTold(signal: AbortSignal): Promise<void> {
    while (this.#live.size > 0 && !signal.aborted)
      await untilAborted(new Promise<void>((resolve) => this.#waitingForChange.push(resolve)), signal);
  }

  /**
   * Goes on with what outlived an earlier agent process, and tells the farm how its other attempts ended.
   * @param killed what of them was still there, as `reap` says
   */
  async recover(killed: ReadonlySet<string>): Promise<void> {
    const { agent, executor, journal, log, openSpool, sendNotices } = this.#deps;
    for (const held of journal.held()) {
      const { task, handle, ended } = held;
      const key = keyIn(task);
      if (!ended && (await this.#adopt(held))) continue;
      const live = newLive(task, 'ended');
      this.#live.set(keyOf(key), live);
      this.#ship(live, await openSpool(task));
      if (!ended) {
        const wasThere = handle && isAdoptable(executor, handle) ? await executor.reap(handle) : killed.has(keyOf(key));
        const how = wasThere ? 'killed the step' : 'found nothing of the step';
        await this.#tellEnd(live, { outcome: 'lost', message: `agent '${agent}' was started again and ${how}` });
      }
      sendNotices(key);
    }
    const swept = await executor.sweep?.(journal.held().flatMap(({ handle }) => handle ?? []));
    if (swept) log.warn({ swept }, 'removed what steps of an earlier agent process have left');
  }

  /** @returns whether the step goes on */
  async #adopt({ task, handle, stopping }: HeldAttempt): Promise<boolean> {
    const { executor, guard, log, openSecrets, openSpool, openWorkspace, sendNotices } = this.#deps;
    if (!executor.adopt || !handle || !isAdoptable(executor, handle)) return false;
    const key = keyIn(task);
    const { artifacts, marks, ...dirs } = await openWorkspace(task);
    const spool = await openSpool(task);
    try {
      const mask = createMask(Object.values(openSecrets(task)));
      // Its output comes again from the first byte on; masked, it begins with what the spool has.
      let known = spool.total;
      const keep = (masked: Buffer) => {
        const fresh = masked.subarray(known);
        known = Math.max(0, known - masked.length);
        return spool.write(fresh);
      };
      const output = (bytes: Buffer) => keep(mask.push(bytes));
      const started = await executor.adopt(handle, { key, spec: task.spec, env: {}, ...dirs, output, handle: () => {} });
      if (started) {
        log.info(key, 'going on with a step that an earlier agent process left running');
        const live: Live = { ...newLive(task, stopping ? 'stopping' : 'running'), started, artifacts };
        this.#live.set(keyOf(key), live);
        this.#ship(live, spool);
        guard.begun(task, handle, marks);
        if (stopping) started.stop();
        live.over = this.#run(
          live,
          this.#untilEnded(live, started, () => keep(mask.flush())),
        );
        sendNotices(key);
        return true;
      }
    } catch (error) {
      log.error({ err: error, ...key }, 'a step that an earlier agent process left running cannot be gone on with');
    }
    await spool.close();
    return false;
  }

  /** All notices of an attempt are stored. */
  noticesStored(key: AttemptKey): void {
    const live = this.#live.get(keyOf(key));
    if (live?.phase !== 'ended') return;
    live.noticesStored = true;
    this.#letGo(live);
  }

  /** Ships the output until all of it is stored, or nobody wants it. */
  #ship(live: Live, spool: Spool): void {
    live.spool = spool;
    void this.#deps.ship.add(keyIn(live.task), live.task.token, spool).then((shipped) => {
      if (shipped.outcome === 'refused')
        this.#deps.log.warn({ ...shipped.key, code: shipped.code }, `the rest of a log was not stored: ${shipped.message}`);
      live.logStored = true;
      this.#letGo(live);
    });
  }

  async #run(live: Live, ended: Promise<StepEnd>): Promise<void> {
    const { task } = live;
    const end = await ended.catch((error: unknown): StepEnd => ({ outcome: 'error', message: messageOf(error) }));
    const collected = await this.#collect(live, end);
    if (live.phase === 'revoked') {
      await live.spool?.end();
      return this.#forget(live);
    }
    while (!this.#deps.stopping.aborted) {
      try {
        await this.#tellEnd(live, end, collected);
        return this.#deps.sendNotices(keyIn(task));
      } catch (error) {
        // The disk refuses. The attempt stays ours meanwhile, and nobody must hear of its end before it is kept.
        this.#deps.log.error({ err: error, ...keyIn(task) }, 'the end of a step could not be journalled; trying again');
        await sleep(journalRetryMs, undefined, { signal: this.#deps.stopping }).catch(() => {});
      }
    }
  }

  async #execute(live: Live): Promise<StepEnd> {
    const { task } = live;
    const { executor, journal, wallMs } = this.#deps;
    const key = keyIn(task);
    if (live.returned) return { outcome: 'stopped' };
    if (!task.trusted && !this.#deps.takesUntrusted)
      return {
        outcome: 'error',
        message: `the ${executor.kind} executor of agent '${this.#deps.agent}' takes trusted runs only`,
      };
    const secrets = this.#deps.openSecrets(task);
    const { workspace, scratch, artifacts, marks } = await this.#deps.openWorkspace(task);
    live.artifacts = artifacts;
    const spool = await this.#deps.openSpool(task);
    this.#ship(live, spool);
    const workdir = await defaultWorkdir(workspace, task);
    if (live.phase !== 'starting' || live.returned || this.#deps.stopping.aborted) return { outcome: 'stopped' };
    const mask = createMask(Object.values(secrets));
    let begun = false;
    live.started = executor.start({
      key,
      spec: workdir === undefined ? task.spec : { ...task.spec, workdir },
      refs: task.refs,
      fetchSource: this.#deps.fetchSource?.(task),
      env: { ...stepEnvironment(task, secrets), ARTIFACTS: artifacts, THRESH_ARTIFACTS: artifacts },
      workspace,
      scratch,
      artifacts,
      output: (bytes) => spool.write(mask.push(bytes)),
      handle: (handle) => {
        journal.setHandle(key, handle, begun);
        this.#deps.guard.begun(task, handle, marks);
        if (begun) return;
        begun = true;
        journal.addNotice(key, { v: 1, type: 'start', atMs: wallMs() });
        this.#deps.log.info(key, 'a step has started');
        this.#deps.sendNotices(key);
      },
    });
    live.phase = 'running';
    return this.#untilEnded(live, live.started, () => spool.write(mask.flush()));
  }

  async #untilEnded({ task }: Live, started: Started, flush: () => Promise<void>): Promise<StepEnd> {
    const end = this.#deps.guard.ended(keyIn(task), await started.ended);
    this.#deps.leftWorkspace(task);
    await flush();
    return end;
  }

  /** Before its end is told, which names what was stored; what is given back leaves nothing. */
  async #collect({ task, phase, artifacts, collecting, returned }: Live, { outcome }: StepEnd): Promise<Collected> {
    if (artifacts === undefined || phase === 'revoked' || outcome === 'lost' || (returned !== undefined && outcome === 'stopped'))
      return {};
    const signal = AbortSignal.any([collecting.signal, this.#deps.stopping, AbortSignal.timeout(longestCollectingMs)]);
    return this.#deps.collect({ key: keyIn(task), token: task.token, dir: artifacts, signal });
  }

  async #tellEnd(live: Live, end: StepEnd, { manifest, problem }: Collected = {}): Promise<void> {
    const { journal, wallMs } = this.#deps;
    const logBytes = (await live.spool?.end()) ?? 0;
    const { outcome, ...how } = end;
    if (problem !== undefined) how.message = (how.message === undefined ? problem : `${how.message}; ${problem}`).slice(0, 4096);
    const given = live.returned !== undefined && outcome === 'stopped' ? live.returned : undefined;
    const notice: Notice =
      given === undefined
        ? { v: 1, type: 'end', atMs: wallMs(), outcome, ...how, logBytes, ...(manifest === undefined ? {} : { manifest }) }
        : { v: 1, type: 'return', atMs: wallMs(), reason: given, logBytes };
    journal.addNotice(keyIn(live.task), notice);
    this.#deps.log.info({ ...keyIn(live.task), outcome, exitCode: end.exitCode, logBytes }, 'a step has ended');
    live.phase = 'ended';
    if (!live.spool) live.logStored = true;
    this.#changed();
  }

  #stop(key: AttemptKey): void {
    const live = this.#live.get(keyOf(key));
    if (!live || (live.phase !== 'starting' && live.phase !== 'running')) return;
    live.phase = 'stopping';
    live.started?.stop();
    this.#changed();
  }

  /** One that has ended goes as all do: the leader knows its end, or the controllers refuse what is left of it. */
  #revoke(key: AttemptKey): void {
    const live = this.#live.get(keyOf(key));
    if (!live || live.phase === 'revoked' || live.phase === 'ended') return;
    live.phase = 'revoked';
    this.#deps.log.warn({ ...key }, 'an attempt was given to another agent; it is killed here');
    live.started?.kill();
    live.collecting.abort(new Error('the attempt was given to another agent'));
    this.#changed();
  }

  #letGo(live: Live): void {
    if (live.phase === 'ended' && live.noticesStored && live.logStored) this.#forget(live);
    else this.#changed();
  }

  #forget(live: Live): void {
    const key = keyIn(live.task);
    if (!this.#live.delete(keyOf(key))) return;
    const handle = this.#deps.journal.get(key)?.handle;
    if (handle) void this.#deps.executor.release?.(handle);
    try {
      this.#deps.journal.done(key);
    } catch (error) {
      this.#deps.log.warn({ err: error, ...key }, 'an attempt that is over stays in the journal until the next start');
    }
    this.#changed();
  }

  #changed(): void {
    const waiting = this.#waitingForChange;
    this.#waitingForChange = [];
    for (const resolve of waiting) resolve();
    this.#deps.changed();
  }
}

/** Whether the executor may go on with it: a step that is not one of its own (git's, for a checkout) it kills. */
const isAdoptable = (executor: Executor, handle: Handle | undefined): boolean =>
  executor.adopt !== undefined && handle?.kind === executor.kind;

const journalRetryMs = 1_000;

/** A slot is not held for longer by files that nobody takes, milliseconds. */
const longestCollectingMs = 3_600_000;

const newLive = (task: Task, phase: Phase): Live => ({
  task,
  phase,
  collecting: new AbortController(),
  noticesStored: false,
  logStored: false,
  over: Promise.resolve(),
});

const keyIn = ({ run, step, attempt }: Task): AttemptKey => ({ run, step, attempt });

const untilAborted = (work: Promise<unknown>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
    void work.then(() => resolve());
  });

import { isFarmError, messageOf } from '../../protocol/errors.ts';
import { later } from '../../protocol/farm.ts';
import { hasEnded, type Run, type RunReport } from '../../protocol/run.ts';
import type { GitHub } from '../github/client.ts';
import type { Log } from '../store/log.ts';
import { desiredStatus, placeKey, type Status } from './desired.ts';
import { readStanding, type Standing, says } from './standing.ts';

export type ReportTimes = {
  /** After so long without GitHub taking it, the report of an end is given up. */
  patienceMs: number;
  /** Between two tries for one status. */
  retryMs: { first: number; most: number };
  /** When ends of runs that this leader did not lead from the beginning are read back again: a predecessor's write may still come. */
  lateMs: readonly number[];
};

export const defaultReportTimes: ReportTimes = {
  patienceMs: 24 * 3_600_000,
  retryMs: { first: 1_000, most: 60_000 },
  lateMs: [10_000, 60_000, 600_000],
};

export type ReporterDeps = {
  github: Pick<GitHub, 'get' | 'write'>;
  publicUrl: () => string;
  /** Whether this controller leads, proved if need be. */
  proven: () => Promise<boolean>;
  /** The same, by the last proof only. */
  isProven: () => boolean;
  /** A run, also one that is not in the farm's state any more. */
  findRun: (id: string) => Promise<Run | undefined>;
  /** The report of a run is made, or will not be. */
  settled: (run: string) => void;
  /** Tells whoever leads now that a status of this run may just have been overwritten by this controller, which leads no more. */
  doubt: (run: string) => void;
  times: ReportTimes;
  log: Log;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** Monotonic milliseconds. */
  now: () => number;
};

/** What a (commit, context) should show, and what is known of what it shows. */
type Entry = {
  key: string;
  desired: Status;
  /** How often the run had changed when it wished so. */
  n: number;
  /** When the run ended; it wishes nothing else any more. */
  endedAtMs?: number;
  /** What stands there, as far as this leader has written or read it. */
  standing?: Standing;
  /** It must be read, for somebody else may have written. */
  doubtful: boolean;
  /** Reads after an end that found something else. */
  corrections: number;
  /** Another leader may have written for it. */
  takenUp: boolean;
  /** What GitHub will not take. */
  refused?: Status;
  /** Ends the wait for a turn: what is to be said has become urgent. */
  hurry?: AbortController;
  working: boolean;
  /** Something has changed while it was worked on. */
  changed: boolean;
};

/** Most places of ended runs that are remembered. */
const maxSettled = 10_000;
const maxCorrections = 5;
/** A write of so long ago may be one that a successor did not see. */
const recentMs = 60_000;

/**
 * Tells GitHub what runs came to, while its controller leads. It knows for each (commit, context) what should stand there: the word of the newest run.
 * Only the newest is sent; what is overtaken before its turn is never sent. The end of a run is read back after it was sent.
 */
export class Reporter {
  readonly #deps: ReporterDeps;
  readonly #entries = new Map<string, Entry>();
  /** Those whose end is reported, oldest first. */
  readonly #settled = new Map<string, Entry>();
  /** What became of the reports of runs, until these leave the farm's state. */
  readonly #outcomes = new Map<string, RunReport>();
  readonly #recent = new Map<string, number>();
  readonly #abort = new AbortController();

  constructor(deps: ReporterDeps) {
    this.#deps = deps;
  }

  /** Carries on for runs that an earlier leader may have reported on: what GitHub shows for them is read first. */
  takeUp(runs: Iterable<Run>): void {
    for (const run of runs) this.#want(run, true);
  }

  /** A run is stored in this state. */
  want(run: Run): void {
    this.#want(run, false);
  }

  /** What became of the report of an ended run; 'nothing': there is none to make. */
  outcomeOf(run: Run): RunReport | 'not yet' | 'nothing' {
    if (!desiredStatus(run, '')) return 'nothing';
    return this.#outcomes.get(run.id) ?? 'not yet';
  }

  /** The run has left the farm's state. */
  forget(run: string): void {
    this.#outcomes.delete(run);
  }

  /** A former leader tells that a write of its own for this run may have come late. */
  async doubted(id: string): Promise<void> {
    const run = await this.#deps.findRun(id);
    const status = run && desiredStatus(run, this.#deps.publicUrl());
    if (!run || !status || this.#abort.signal.aborted) return;
    const key = placeKey(status);
    const entry = this.#find(key) ?? this.#open(key, run, status, true);
    entry.doubtful = true;
    entry.corrections = 0;
    this.#work(entry);
  }

  get stopped(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Nothing more is sent. What was sent a moment ago, or is on its way, a successor may have missed: it is told. */
  stop(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    const nowMs = this.#deps.now();
    for (const [run, atMs] of this.#recent) if (nowMs - atMs < recentMs) this.#deps.doubt(run);
  }

  #want(run: Run, takenUp: boolean): void {
    const status = desiredStatus(run, this.#deps.publicUrl());
    if (!status || this.#abort.signal.aborted) return;
    const key = placeKey(status);
    const entry = this.#find(key);
    if (!entry) {
      this.#work(this.#open(key, run, status, takenUp));
      return;
    }
    const before = entry.desired.run;
    if (before !== run.id && later(before, run.id)) {
      this.#overtaken(status, before);
      return;
    }
    if (before === run.id && (run.n <= entry.n || isSame(status, entry.desired))) return;
    if (before !== run.id && !this.#settled.has(key)) this.#overtaken(entry.desired, run.id);
    entry.desired = status;
    entry.n = run.n;
    entry.corrections = 0;
    entry.takenUp ||= takenUp;
    if (hasEnded(run)) entry.endedAtMs = run.endedAtMs ?? this.#deps.wallMs();
    else delete entry.endedAtMs;
    if (hasEnded(run)) entry.hurry?.abort();
    this.#settled.delete(key);
    this.#entries.set(key, entry);
    this.#work(entry);
  }

  #find(key: string): Entry | undefined {
    return this.#entries.get(key) ?? this.#settled.get(key);
  }

  #open(key: string, run: Run, desired: Status, takenUp: boolean): Entry {
    const entry: Entry = { key, desired, n: run.n, doubtful: takenUp, corrections: 0, takenUp, working: false, changed: false };
    if (hasEnded(run)) entry.endedAtMs = run.endedAtMs ?? this.#deps.wallMs();
    this.#entries.set(key, entry);
    return entry;
  }

  /** Works on an entry until nothing is left to do for it; one at a time for each. */
  #work(entry: Entry): void {
    entry.changed = true;
    if (entry.working) return;
    entry.working = true;
    void (async () => {
      for (let failures = 0; !this.#abort.signal.aborted; ) {
        try {
          entry.changed = false;
          const more = await this.#step(entry);
          failures = 0;
          if (!more && !entry.changed) break;
        } catch (error) {
          this.#failed(entry, error, failures);
          const { first, most } = this.#deps.times.retryMs;
          await this.#wait(Math.min(most, first * 2 ** failures));
          failures += 1;
        }
      }
      entry.working = false;
    })();
  }

  /** @returns whether there may be more to do */
  async #step(entry: Entry): Promise<boolean> {
    if (entry.doubtful) return this.#readBack(entry);
    const newer = entry.standing?.run;
    if (newer !== undefined && later(newer, entry.desired.run)) return this.#leaveTo(entry, newer);
    if (entry.refused === entry.desired || says(entry.standing, entry.desired)) return this.#settle(entry);
    return this.#send(entry);
  }

  async #readBack(entry: Entry): Promise<boolean> {
    entry.doubtful = false;
    try {
      await this.#look(entry);
    } catch (error) {
      // Who may write may perhaps not read; then what was written counts.
      if (isFarmError(error, 'GITHUB_REFUSED')) return true;
      entry.doubtful = true;
      throw error;
    }
    const { standing, desired } = entry;
    if (entry.endedAtMs === undefined || says(standing, desired) || entry.corrections === 0) return true;
    if (entry.corrections > maxCorrections) return this.#giveUp(entry, 'others keep overwriting it');
    // What was read may be older than what was written: it is read once more before it is written again.
    await this.#wait(Math.min(30_000, 250 * 4 ** (entry.corrections - 1)));
    await this.#look(entry);
    if (!says(entry.standing, desired))
      this.#deps.log.warn({ ...placeOf(desired), found: standing?.state }, 'a commit status was overwritten; it is put right');
    return true;
  }

  async #look(entry: Entry): Promise<void> {
    const standing = await readStanding(this.#deps.github.get, entry.desired);
    if (standing) entry.standing = standing;
    else delete entry.standing;
  }

  /** A newer run of this commit and context has spoken, in the time of an earlier leader. */
  #leaveTo(entry: Entry, run: string): false {
    if (entry.endedAtMs === undefined) return false;
    if (!this.#settled.has(entry.key)) this.#overtaken(entry.desired, run);
    return this.#close(entry);
  }

  async #send(entry: Entry): Promise<boolean> {
    const { github, proven, isProven, now } = this.#deps;
    const { org: owner, repo } = entry.desired;
    const final = entry.endedAtMs !== undefined;
    let sending: Status | undefined;
    const hurry = new AbortController();
    if (!final) entry.hurry = hurry;
    const make = async () => {
      if (says(entry.standing, entry.desired) || !(await proven()) || this.#abort.signal.aborted) return undefined;
      sending = entry.desired;
      this.#recent.delete(sending.run);
      this.#recent.set(sending.run, now());
      return write(sending);
    };
    try {
      const signal = AbortSignal.any([this.#abort.signal, hurry.signal]);
      const sent = await github.write({ owner, repo }, make, { urgent: final, may: isProven, signal });
      if (!sent && !hurry.signal.aborted) {
        // Not proven just now, or nothing left to say.
        if (!says(entry.standing, entry.desired)) await this.#wait(this.#deps.times.retryMs.first);
      } else if (sent && sending) {
        entry.standing = { state: sending.state, description: sending.description, run: sending.run };
        if (entry.endedAtMs !== undefined && sending === entry.desired) {
          entry.doubtful = true;
          entry.corrections += 1;
        }
      }
      return true;
    } catch (error) {
      if (!isFarmError(error, 'GITHUB_REFUSED') || !sending) throw error;
      entry.refused = sending;
      if (sending !== entry.desired) return true;
      this.#deps.log.warn({ ...placeOf(sending), reason: error.message }, 'GitHub refused a commit status');
      return entry.endedAtMs === undefined ? true : this.#giveUp(entry, error.message);
    } finally {
      delete entry.hurry;
      this.#sent(sending);
    }
  }

  /** A write has ended, one way or the other; if this controller leads no more, a successor may not have seen it. */
  #sent(status: Status | undefined): void {
    if (!status) return;
    const nowMs = this.#deps.now();
    this.#recent.delete(status.run);
    this.#recent.set(status.run, nowMs);
    for (const [run, atMs] of this.#recent) {
      if (nowMs - atMs < recentMs) break;
      this.#recent.delete(run);
    }
    if (this.#abort.signal.aborted) this.#deps.doubt(status.run);
  }

  /** What stands is what should. @returns false: nothing is left to do */
  #settle(entry: Entry): false {
    const { desired } = entry;
    if (entry.endedAtMs === undefined) return false;
    if (entry.refused !== desired && !this.#settled.has(entry.key))
      this.#ended(desired, { outcome: 'made', state: desired.state });
    return this.#close(entry);
  }

  #giveUp(entry: Entry, why: string): false {
    this.#deps.log.error({ ...placeOf(entry.desired), reason: why }, 'the report of a run was given up');
    if (!this.#settled.has(entry.key)) this.#ended(entry.desired, { outcome: 'given-up', why });
    entry.refused = entry.desired;
    return this.#close(entry);
  }

  #close(entry: Entry): false {
    this.#entries.delete(entry.key);
    this.#settled.delete(entry.key);
    this.#settled.set(entry.key, entry);
    for (const key of this.#settled.keys()) {
      if (this.#settled.size <= maxSettled) break;
      this.#settled.delete(key);
    }
    if (entry.takenUp) {
      entry.takenUp = false;
      void this.#lookAgain(entry);
    }
    return false;
  }

  /** A predecessor that was paused in the middle of a write ends it when it goes on, whenever that is. */
  async #lookAgain(entry: Entry): Promise<void> {
    for (const ms of this.#deps.times.lateMs) {
      await this.#wait(ms);
      if (this.#abort.signal.aborted || this.#settled.get(entry.key) !== entry) return;
      entry.doubtful = true;
      entry.corrections = 0;
      this.#work(entry);
    }
  }

  #overtaken(status: Status, by: string): void {
    this.#ended(status, { outcome: 'overtaken', why: `run ${by} reports there` });
  }

  #ended({ run, sha, context }: Status, what: Pick<RunReport, 'outcome' | 'state' | 'why'>): void {
    if (this.#outcomes.has(run)) return;
    this.#outcomes.set(run, { sha, context, ...what, atMs: this.#deps.wallMs() });
    this.#deps.settled(run);
  }

  #failed(entry: Entry, error: unknown, failures: number): void {
    const { log, wallMs, times } = this.#deps;
    const reason = messageOf(error);
    if (!isFarmError(error, 'GITHUB_AWAY') && !isFarmError(error, 'GITHUB_REFUSED'))
      log.error({ err: error, ...placeOf(entry.desired) }, 'a report failed in a way that was not foreseen; trying again');
    else if (failures === 0) log.debug({ ...placeOf(entry.desired), reason }, 'a commit status was not set; trying again');
    if (entry.endedAtMs !== undefined && wallMs() - entry.endedAtMs > times.patienceMs) {
      this.#giveUp(entry, `not within ${Math.round(times.patienceMs / 3_600_000)} hours: ${reason}`);
      entry.doubtful = false;
    }
  }

  #wait(ms: number): Promise<void> {
    const { signal } = this.#abort;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    });
  }
}

const isSame = (a: Status, b: Status): boolean => a.state === b.state && a.description === b.description;

const placeOf = ({ org, repo, sha, context, run }: Status) => ({ repo: `${org}/${repo}`, sha, context, run });

const write = ({ sha, context, state, description, targetUrl }: Status) => ({
  route: 'POST /repos/{owner}/{repo}/statuses/{sha}' as const,
  parameters: { sha, context, state, description, target_url: targetUrl },
});

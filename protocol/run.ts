import { type AttemptEvent, type AttemptState, advanceAttempt, isOpen } from './attempt.ts';
import type { Refs } from './change.ts';
import type { JobType, Lost, Priority, Step } from './job.ts';
import type { Source } from './source.ts';

/** What the engine and the scheduler need of a step; the rest is in the run's `spec`. */
export type StepShape = Pick<Step, 'name' | 'needs' | 'when' | 'finally' | 'retries' | 'queue'>;
export const shapeOf = (s: Step): StepShape => ({
  name: s.name,
  needs: s.needs,
  when: s.when,
  finally: s.finally,
  retries: s.retries,
  queue: s.queue,
});

/** A run as a verdict creates it: everything that it will ever take from the configuration. */
export type NewRun = {
  /** 19 decimal digits that grow with time. */
  id: string;
  job: string;
  type: JobType;
  /** Absent when the run tests no repository. */
  refs?: Refs;
  /** The commit of `refs` is in what a person has sent, not in the repository. */
  source?: Source;
  /** Commit status context. */
  context: string;
  optional: boolean;
  skipReport: boolean;
  /** Only trusted runs get secrets; untrusted ones only go to agents that accept them. */
  trusted: boolean;
  priority: Priority;
  workspace: 'local' | 'shared';
  /** For a shared workspace; absent: 'step'. */
  lost?: Lost;
  maxConcurrency: number;
  group?: string;
  retryOf?: string;
  /** Who asked: a login, 'clock', or the delivery's source. */
  by: string;
  /** `source/id` of the delivery that led to it. */
  delivery: string;
  createdAtMs: number;
  /** Each step stands after those that it needs. */
  steps: StepShape[];
  /** The resolved steps: here, or under this key in object storage when they are big. */
  spec: { inline: Step[] } | { object: string };
};

/** How an attempt ended, as the party that observed it tells. */
export type AttemptEnd = {
  exitCode?: number;
  signal?: string;
  /** One sentence for people. Never holds a secret. */
  message?: string;
  /** Bytes of masked output; the log is complete when so many are stored. */
  logBytes?: number;
  /** SHA-256 of the list of its artifacts (artifact.ts); absent: it left none. */
  manifest?: string;
};

export type Attempt = AttemptEnd & {
  attempt: number;
  round: number;
  agent: string;
  state: AttemptState;
  assignedAtMs: number;
  startedAtMs?: number;
  endedAtMs?: number;
};

export type StepEndState = 'passed' | 'failed' | 'errored' | 'skipped' | 'cancelled';
/** waiting: for its needs. ready: for an agent. running: an attempt is out. */
export type StepState = 'waiting' | 'ready' | 'running' | StepEndState;

export type RunStep = {
  name: string;
  state: StepState;
  why?: string;
  readyAtMs?: number;
  attempts: readonly Attempt[];
};

export type RunEndState = 'passed' | 'failed' | 'errored' | 'cancelled';
export type RunState = 'queued' | 'running' | 'stopping' | RunEndState;

/**
 * What became of the report of a run's end. made: GitHub shows it. overtaken: a newer run of the same commit and context speaks instead.
 * given-up: GitHub did not take it, for the reason `why`.
 */
export type RunReport = {
  outcome: 'made' | 'overtaken' | 'given-up';
  sha: string;
  context: string;
  /** What GitHub shows. */
  state?: 'pending' | 'success' | 'failure' | 'error';
  why?: string;
  atMs: number;
};

/** Who ended it and why. A forced cancel does not wait for `finally` steps. */
export type Cancel = { by: string; reason: string; force: boolean };

export type Run = NewRun & {
  state: RunState;
  reason?: string;
  /** How many records were folded into it; a snapshot with a higher number wins. */
  n: number;
  round: number;
  /** The agent that holds the workspace of this round, when that is local. */
  home?: string;
  /** Why the workspace of this round is gone; `spent`: it counts against the rounds that a run may lose. */
  homeless?: { why: string; spent: boolean };
  /** Earlier rounds whose workspace was lost between two steps, so that no attempt tells of it. */
  lostRounds?: readonly number[];
  /** What a verdict has asked for; the run's own `cancel` event follows from it. */
  cancelAsked?: Cancel;
  cancel?: Cancel;
  /** In the order of `steps`. */
  at: readonly RunStep[];
  startedAtMs?: number;
  endedAtMs?: number;
  /** Absent until it is known, and for runs that are not reported. */
  report?: RunReport;
  archived: boolean;
};

export type RunEvent =
  | { type: 'ready'; step: string; atMs: number }
  | { type: 'assigned'; step: string; attempt: number; agent: string; atMs: number }
  | { type: 'attempt'; step: string; attempt: number; event: AttemptEvent; atMs: number; end?: AttemptEnd }
  | { type: 'settled'; step: string; state: StepEndState; why?: string }
  | { type: 'homeless'; why: string; spent: boolean }
  | { type: 'round'; round: number; why: string }
  | ({ type: 'cancel'; atMs: number } & Cancel)
  | { type: 'finished'; state: RunEndState; reason: string; atMs: number }
  | ({ type: 'reported' } & RunReport)
  | { type: 'archived' };

export const hasEnded = (run: Pick<Run, 'state'>): boolean =>
  run.state === 'passed' || run.state === 'failed' || run.state === 'errored' || run.state === 'cancelled';

export const isSettled = (state: StepState): state is StepEndState =>
  state !== 'waiting' && state !== 'ready' && state !== 'running';

/** Whether a verdict asked to cancel the run, or to cancel it harder, and its own events do not say so yet. */
export const wantsCancel = (run: Run): boolean =>
  run.cancelAsked !== undefined && !hasEnded(run) && (run.cancel === undefined || (run.cancelAsked.force && !run.cancel.force));

/** The newest attempt of a step, if it ever had one. */
export const lastAttempt = (step: RunStep | undefined): Attempt | undefined => step?.attempts.at(-1);

export const stepOf = (run: Run, name: string): RunStep | undefined => run.at.find((s) => s.name === name);

export const attemptOf = (run: Run, step: string, attempt: number): Attempt | undefined =>
  stepOf(run, step)?.attempts.find((a) => a.attempt === attempt);

/** The attempts that are with an agent now. */
export const openAttempts = (run: Run): { step: string; attempt: Attempt }[] =>
  run.at.flatMap((s) => s.attempts.filter((a) => isOpen(a.state)).map((attempt) => ({ step: s.name, attempt })));

const freshSteps = (steps: readonly StepShape[], atMs: number, before?: readonly RunStep[]): RunStep[] => {
  const onlyFinally = steps.every((s) => s.finally);
  return steps.map((s, i) => {
    const attempts = before?.[i]?.attempts ?? [];
    return s.needs.length === 0 && (!s.finally || onlyFinally)
      ? { name: s.name, state: 'ready', readyAtMs: atMs, attempts }
      : { name: s.name, state: 'waiting', attempts };
  });
};

/** A run at its creation: steps that need nothing are ready. */
export const openRun = (created: NewRun): Run => ({
  ...created,
  state: 'queued',
  n: 1,
  round: 1,
  at: freshSteps(created.steps, created.createdAtMs),
  archived: false,
});

const withStep = (run: Run, name: string, change: (step: RunStep) => RunStep): Run => {
  const i = run.at.findIndex((s) => s.name === name);
  const before = run.at[i];
  if (!before) return run;
  const after = change(before);
  return after === before ? run : { ...run, at: run.at.with(i, after) };
};

const withAttempt = (step: RunStep, event: Extract<RunEvent, { type: 'attempt' }>): RunStep => {
  const i = step.attempts.findIndex((a) => a.attempt === event.attempt);
  const before = step.attempts[i];
  if (!before) return step;
  const state = advanceAttempt(before.state, event.event);
  if (state === before.state) return step;
  const after: Attempt = { ...before, ...event.end, state };
  if (state === 'running') after.startedAtMs = event.atMs;
  if (!isOpen(state)) after.endedAtMs = event.atMs;
  return { ...step, attempts: step.attempts.with(i, after) };
};

/** Folds one stored event. Events that do not fit (late, repeated, of an unknown step) change nothing. */
export function applyToRun(run: Run, event: RunEvent): Run {
  if (hasEnded(run)) return applyAfterEnd(run, event);
  switch (event.type) {
    case 'ready':
      return withStep(run, event.step, (s) => (canBeReady(s) ? { ...s, state: 'ready', readyAtMs: event.atMs } : s));
    case 'assigned': {
      const attempt: Attempt = {
        attempt: event.attempt,
        round: run.round,
        agent: event.agent,
        state: 'assigned',
        assignedAtMs: event.atMs,
      };
      const next = withStep(run, event.step, (s) =>
        s.state === 'ready' && event.attempt === s.attempts.length + 1
          ? { ...s, state: 'running', attempts: [...s.attempts, attempt] }
          : s,
      );
      if (next === run) return run;
      return {
        ...next,
        state: run.state === 'queued' ? 'running' : run.state,
        startedAtMs: run.startedAtMs ?? event.atMs,
        ...(run.workspace === 'local' ? { home: event.agent } : {}),
      };
    }
    case 'attempt':
      return withStep(run, event.step, (s) => withAttempt(s, event));
    case 'settled':
      return withStep(run, event.step, (s) =>
        isSettled(s.state) ? s : { ...s, state: event.state, ...(event.why ? { why: event.why } : {}) },
      );
    case 'homeless':
      return run.home === undefined || run.homeless ? run : { ...run, homeless: { why: event.why, spent: event.spent } };
    case 'round': {
      if (event.round !== run.round + 1) return run;
      const { home: _home, homeless, ...rest } = run;
      const lostRounds = homeless?.spent ? [...(run.lostRounds ?? []), run.round] : run.lostRounds;
      const at = freshSteps(run.steps, run.createdAtMs, run.at);
      return { ...rest, round: event.round, at, ...(lostRounds ? { lostRounds } : {}) };
    }
    case 'cancel':
      if (run.cancel && (run.cancel.force || !event.force)) return run;
      return { ...run, state: 'stopping', cancel: { by: event.by, reason: event.reason, force: event.force } };
    case 'finished':
      return { ...run, state: event.state, reason: event.reason, endedAtMs: event.atMs };
    default:
      return run;
  }
}

function applyAfterEnd(run: Run, event: RunEvent): Run {
  if (run.archived) return run;
  if (event.type === 'archived') return { ...run, archived: true };
  if (event.type !== 'reported' || run.report) return run;
  const { type: _, ...report } = event;
  return { ...run, report };
}

const canBeReady = (step: RunStep): boolean => {
  const last = lastAttempt(step);
  return step.state === 'waiting' || (step.state === 'running' && last !== undefined && !isOpen(last.state));
};

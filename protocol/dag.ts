import { isOpen } from './attempt.ts';
import {
  applyToRun,
  hasEnded,
  isSettled,
  lastAttempt,
  type Run,
  type RunEndState,
  type RunEvent,
  type RunStep,
  type StepEndState,
  type StepShape,
  type StepState,
} from './run.ts';

/** A run whose workspace was lost starts again elsewhere so many times in all. */
export const maxRounds = 3;
/** A step on a shared workspace whose agents are lost is given to so many agents in all. */
export const maxLosses = 3;
/** Attempts of one step over all rounds; what a step that is always given back can cost at most. */
export const maxAttempts = 100;

/**
 * The engine: what `cause` does to the run, and everything that follows from it. Pure.
 * @param atMs when, milliseconds since the epoch; it only stamps events
 * @returns the run afterwards, and the events to store: the cause first
 */
export function decide(run: Run, cause: RunEvent, atMs: number): { run: Run; events: RunEvent[] } {
  let after = applyToRun(run, cause);
  const events = [cause];
  for (let more = following(after, atMs); more.length > 0; more = following(after, atMs)) {
    for (const event of more) after = applyToRun(after, event);
    events.push(...more);
  }
  return { run: after, events };
}

/** What must happen next to a run in this state, without anything new from outside. Empty: it waits, or has ended. */
export function following(run: Run, atMs: number): RunEvent[] {
  if (hasEnded(run)) return [];
  const round = newRound(run, atMs);
  if (round.length > 0) return round;

  const events: RunEvent[] = [];
  const state = new Map<string, StepState>(run.at.map((s) => [s.name, s.state]));
  const put = (event: Extract<RunEvent, { type: 'ready' | 'settled' }>) => {
    state.set(event.step, event.type === 'ready' ? 'ready' : event.state);
    events.push(event);
  };
  const walk = (shapes: StepShape[]) => {
    for (const shape of shapes) {
      const step = run.at.find((s) => s.name === shape.name);
      if (!step) continue;
      if (step.state === 'running')
        for (const e of afterAttempt(run, shape, step, atMs)) e.type === 'attempt' ? events.push(e) : put(e);
      else if (step.state === 'ready' && isCancelled(run, shape)) put(cancelled(run, shape.name));
      else if (step.state === 'waiting') {
        const e = isCancelled(run, shape) ? cancelled(run, shape.name) : whenNeedsEnded(watched(run, shape), state, atMs);
        if (e) put(e);
      }
    }
  };
  walk(run.steps.filter((s) => !s.finally));
  if (run.steps.every((s) => s.finally || isSettled(state.get(s.name) ?? 'skipped'))) walk(run.steps.filter((s) => s.finally));
  if ([...state.values()].every(isSettled)) events.push(finished(run, state, events, atMs));
  return events;
}

const isCancelled = (run: Run, shape: StepShape): boolean => run.cancel !== undefined && (run.cancel.force || !shape.finally);

const cancelled = (run: Run, step: string) => ({
  type: 'settled' as const,
  step,
  state: 'cancelled' as const,
  ...(run.cancel ? { why: run.cancel.reason } : {}),
});

/** A `finally` step that names no need and wants a failure watches all that came before it: else it could never run. */
const watched = (run: Run, shape: StepShape): StepShape =>
  shape.finally && shape.when === 'failure' && shape.needs.length === 0
    ? { ...shape, needs: run.steps.filter((s) => !s.finally).map((s) => s.name) }
    : shape;

/** A step whose needs have all ended becomes ready or is skipped; before, nothing. */
function whenNeedsEnded(shape: StepShape, state: ReadonlyMap<string, StepState>, atMs: number) {
  const needs = shape.needs.map((name) => ({ name, state: state.get(name) ?? 'skipped' }));
  if (!needs.every((n) => isSettled(n.state))) return undefined;
  const bad = needs.find((n) => n.state === 'failed' || n.state === 'errored');
  const notPassed = needs.find((n) => n.state !== 'passed');
  const runs = shape.when === 'always' || (shape.when === 'failure' ? bad !== undefined : notPassed === undefined);
  if (runs) return { type: 'ready' as const, step: shape.name, atMs };
  const why =
    notPassed && shape.when === 'success'
      ? `needs '${notPassed.name}', which ${said[notPassed.state]}`
      : 'nothing that it needs has failed';
  return { type: 'settled' as const, step: shape.name, state: 'skipped' as const, why };
}

const said: Record<StepState, string> = {
  waiting: 'has not started',
  ready: 'has not started',
  running: 'is running',
  passed: 'passed',
  failed: 'failed',
  errored: 'ended in an error',
  skipped: 'was skipped',
  cancelled: 'was cancelled',
};

/** What follows when the newest attempt of a step has ended, or must be asked to stop. */
function afterAttempt(run: Run, shape: StepShape, step: RunStep, atMs: number) {
  const last = lastAttempt(step);
  if (!last) return [];
  const settled = (state: StepEndState, why?: string) => [
    { type: 'settled' as const, step: step.name, state, ...(why ? { why } : {}) },
  ];
  const again = () => [{ type: 'ready' as const, step: step.name, atMs }];
  if (isOpen(last.state)) {
    const ask = isCancelled(run, shape) && last.state !== 'stopping';
    return ask ? [{ type: 'attempt' as const, step: step.name, attempt: last.attempt, event: 'cancel' as const, atMs }] : [];
  }
  if (last.state === 'passed') return settled('passed');
  if (last.state === 'errored') return settled('errored', last.message);
  if (isCancelled(run, shape)) return [cancelled(run, step.name)];
  if (last.state === 'cancelled') return settled('cancelled', last.message);
  if (step.attempts.length >= maxAttempts) return settled('errored', `${maxAttempts} attempts did not bring an end`);
  const ofRound = step.attempts.filter((a) => a.round === run.round);
  if (last.state === 'failed') {
    const failures = ofRound.filter((a) => a.state === 'failed').length;
    return failures <= shape.retries ? again() : settled('failed', last.message);
  }
  if (last.state === 'lost') {
    if (run.workspace === 'shared' && run.lost === 'fail') return settled('errored', last.message ?? 'lost its agent');
    const losses = ofRound.filter((a) => a.state === 'lost').length;
    return losses < maxLosses ? again() : settled('errored', `lost its agent ${losses} times`);
  }
  return again();
}

/**
 * A local workspace that is gone (its agent lost, or drained away) means a new round; too many lost rounds mean an error. So does a lost agent
 * where the job says `lost: round`.
 */
function newRound(run: Run, atMs: number): RunEvent[] {
  if (run.workspace === 'shared' && run.lost !== 'round') return [];
  const gone = run.homeless ?? goneWith(run);
  if (!gone) return [];
  const open = run.at.flatMap((s) =>
    s.attempts.filter((a) => isOpen(a.state)).map((a) => ({ step: s.name, attempt: a.attempt })),
  );
  const event = gone.spent ? 'expire' : 'return';
  const revoked = open.map((a): RunEvent => ({ type: 'attempt', ...a, event, atMs, end: { message: gone.why } }));
  const lostRounds = new Set(run.lostRounds);
  for (const s of run.at) for (const a of s.attempts) if (a.state === 'lost') lostRounds.add(a.round);
  if (gone.spent) lostRounds.add(run.round);
  const tooOften = lostRounds.size >= maxRounds || run.at.some((s) => s.attempts.length >= maxAttempts);
  if (!tooOften && !run.cancel) return [...revoked, { type: 'round', round: run.round + 1, why: gone.why }];
  const state = run.cancel ? 'cancelled' : 'errored';
  const why = run.cancel ? `${gone.why}; the run is cancelled` : `${gone.why}; ${lostRounds.size} rounds were lost`;
  const unsettled = run.at.filter((s) => !isSettled(s.state));
  return [...revoked, ...unsettled.map((s): RunEvent => ({ type: 'settled', step: s.name, state, why }))];
}

function goneWith(run: Run): Run['homeless'] {
  for (const step of run.at) {
    const last = lastAttempt(step);
    if (step.state !== 'running' || last?.round !== run.round) continue;
    if (last.state === 'lost') return { why: `step '${step.name}' lost its agent`, spent: true };
    if (last.state === 'returned' && run.workspace === 'local')
      return { why: `step '${step.name}' was given back by a draining agent`, spent: false };
  }
  return undefined;
}

/** @param before what is settled in this very pass and not yet folded */
function finished(run: Run, state: ReadonlyMap<string, StepState>, before: readonly RunEvent[], atMs: number): RunEvent {
  const of = (wanted: StepState) => run.steps.find((s) => state.get(s.name) === wanted)?.name;
  const ended = (end: RunEndState, reason: string): RunEvent => ({ type: 'finished', state: end, reason, atMs });
  const why = (step: string | undefined) => {
    const said = before.find((e) => e.type === 'settled' && e.step === step) as { why?: string } | undefined;
    const text = said?.why ?? run.at.find((s) => s.name === step)?.why;
    return text === undefined ? '' : `: ${text}`;
  };
  const [errored, failed, stopped] = [of('errored'), of('failed'), of('cancelled')];
  if (run.cancel) return ended('cancelled', `cancelled by ${run.cancel.by}: ${run.cancel.reason}`);
  if (errored) return ended('errored', `step '${errored}' ended in an error${why(errored)}`);
  if (failed) return ended('failed', `step '${failed}' failed${why(failed)}`);
  if (stopped) return ended('cancelled', `step '${stopped}' was cancelled`);
  return ended('passed', 'all steps passed');
}

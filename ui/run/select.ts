import { lastAttempt, type Run, type RunStep } from '../../protocol/run.ts';

/** The step whose log is shown when nobody has chosen: what went wrong, else what runs, else what ended last, else the first. */
export function stepToShow(run: Run, chosen: string | null): RunStep | undefined {
  const of = (...states: RunStep['state'][]) => run.at.find((s) => states.includes(s.state));
  const newest = run.at
    .filter((s) => s.attempts.length > 0)
    .reduce<RunStep | undefined>((a, b) => (a && endOf(a) > endOf(b) ? a : b), undefined);
  return run.at.find((s) => s.name === chosen) ?? of('failed', 'errored') ?? of('running') ?? newest ?? run.at[0];
}

const endOf = (step: RunStep): number => lastAttempt(step)?.endedAtMs ?? 0;

import { type Attempt, isSettled, type Run } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';

/** The attempt of a step whose result is the step's: the last of the round that decided, once the step is settled. */
export function countedAttempt(run: Run, step: string): Attempt | undefined {
  const at = run.at.find((s) => s.name === step);
  const last = at?.attempts.at(-1);
  return at && last && isSettled(at.state) && last.round === run.round && last.state !== 'lost' && last.state !== 'returned'
    ? last
    : undefined;
}

/** Each step that has one, in the order of the steps. */
export const countedAttempts = (run: Run): { key: AttemptKey; attempt: Attempt }[] =>
  run.at.flatMap(({ name: step }) => {
    const attempt = countedAttempt(run, step);
    return attempt ? [{ key: { run: run.id, step, attempt: attempt.attempt }, attempt }] : [];
  });

/** The name of the step whose files stand as a Prow job's own: of a run of one step, besides the checkout. */
export function onlyStep(run: Pick<Run, 'steps'>): string | undefined {
  const [only, ...others] = run.steps.filter((s) => s.name !== checkoutStep);
  return others.length === 0 ? only?.name : undefined;
}

/** What the farm itself adds before the steps of a run that tests a repository. */
export const checkoutStep = 'checkout';

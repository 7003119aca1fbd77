import { marksOf } from './workspace/shared.ts';

/** How much sooner the watchdog stops a step than the leader gives its attempt away, milliseconds. Drift, and a slow kill. */
export const leaseMarginMs = 2_000;

export type Watched = {
  step: string;
  attempt: number;
  /** It must be dead before its attempt could be given away. */
  stopsOnLeaseLoss: boolean;
};

/**
 * Why a step must be killed now; undefined when it may go on.
 * @param marks the names in `.attempts` of its shared workspace; 'gone': the workspace is not there any more; absent: not known, or local
 * @param heardMs when the last beat that was answered had been sent, monotonic: not when it was answered, or a slow answer would stretch the lease
 * @param leaseMs how long the leader waits for a silent agent
 * @see Gray and Cheriton, "Leases", SOSP 1989
 */
export function whyKill(
  { step, attempt, stopsOnLeaseLoss }: Watched,
  marks: readonly string[] | 'gone' | undefined,
  at: { nowMs: number; heardMs: number; leaseMs: number },
): string | undefined {
  if (marks === 'gone') return 'its workspace was removed';
  if (marks) {
    const seen = marksOf(marks, step);
    const newest = Math.max(...seen.map((m) => m.attempt));
    if (newest > attempt) return `attempt ${newest} of the step is at work in its workspace`;
    if (!seen.some((m) => m.attempt === attempt)) return 'its workspace was removed';
  }
  if (stopsOnLeaseLoss && at.nowMs >= at.heardMs + at.leaseMs - leaseMarginMs)
    return 'no controller has answered for so long that its attempt could be given to another agent (on_lease_loss: stop)';
  return undefined;
}

/** A look at a shared storage that has not come back for so long means that it is away, milliseconds. */
export const awayMs = 2_000;

/**
 * Whether a step in a shared workspace must hold still: neither a controller nor the storage is to be reached, so its attempt may be given away by
 * now and nobody can say so here. It goes on, or is killed, when the storage answers; a control plane that is away alone stops nothing.
 * @param lookingSinceMs when the look at the marks began that has not come back; monotonic
 */
export const mustHoldStill = (
  lookingSinceMs: number | undefined,
  { nowMs, heardMs, leaseMs }: { nowMs: number; heardMs: number; leaseMs: number },
): boolean => lookingSinceMs !== undefined && nowMs - lookingSinceMs >= awayMs && nowMs >= heardMs + leaseMs - leaseMarginMs;

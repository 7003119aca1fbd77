import { messageOf } from '../../protocol/errors.ts';
import type { Engine, Executor, Exit, StepEnd } from './executor.ts';

/** Calls `act` in `ms`, unless the function that it returns is called before. */
export type After = (ms: number, act: () => void) => () => void;

/** setTimeout calls at once what should wait longer than this, 25 days. */
const longestTimerMs = 2 ** 31 - 1;

export const realAfter: After = (ms, act) => {
  const timer = setTimeout(act, Math.min(ms, longestTimerMs));
  return () => clearTimeout(timer);
};

type Ask = 'stop' | 'kill' | 'timeout';

/**
 * Makes an executor of an engine: the step's timeout, the grace between TERM and KILL, and what outcome an exit is, once for all
 * of them. The timeout counts from when the user's own part begins (`handle`): pulling an image is not the step's fault.
 */
export const withTimeout = (engine: Engine, after: After = realAfter): Executor => ({
  kind: engine.kind,
  reap: engine.reap,
  start: (job) => {
    const { timeoutMs, graceMs } = job.spec;
    let asked: Ask | undefined;
    let ignoredTerm = false;
    let begun = false;
    let over = false;
    let cancelTimer = () => {};

    const running = engine.run({
      ...job,
      handle: async (handle) => {
        await job.handle(handle);
        if (!over && !asked && !begun) cancelTimer = after(timeoutMs, () => term('timeout'));
        begun = true;
      },
    });
    const term = (why: 'stop' | 'timeout') => {
      if (asked || over || !running.term()) return;
      asked = why;
      cancelTimer();
      cancelTimer = after(graceMs, () => {
        ignoredTerm = running.kill();
      });
    };
    const kill = () => {
      if (!over && running.kill()) asked ??= 'kill';
    };
    const ended = running.exit
      .catch((error: unknown): Exit => ({ error: messageOf(error) }))
      .then((exit) => {
        over = true;
        cancelTimer();
        return endOf(exit, asked, { timeoutMs, ignoredMs: ignoredTerm ? graceMs : undefined });
      });
    return { ended, stop: () => term('stop'), kill };
  },
});

/** What the exit of a step means, given what it was asked before it ended. */
export function endOf(exit: Exit, asked: Ask | undefined, at: { timeoutMs: number; ignoredMs: number | undefined }): StepEnd {
  if ('error' in exit) return { outcome: 'error', message: exit.error.slice(0, 4096) };
  const outcome = asked === 'timeout' ? 'fail' : asked ? 'stopped' : exit.exitCode === 0 ? 'pass' : 'fail';
  const said = [
    ...(asked === 'timeout' ? [`timed out after ${durationText(at.timeoutMs)}`] : []),
    ...(at.ignoredMs === undefined ? [] : [`did not end within ${durationText(at.ignoredMs)} of TERM and was killed`]),
    ...(exit.note ? [exit.note] : []),
  ];
  return {
    outcome,
    exitCode: exit.exitCode,
    ...(exit.signal ? { signal: exit.signal } : {}),
    ...(said.length > 0 ? { message: said.join('; ') } : {}),
  };
}

/** '90m', '2h', '1500ms': in the largest unit that divides it. */
export function durationText(ms: number): string {
  const unit = (
    [
      ['h', 3_600_000],
      ['m', 60_000],
      ['s', 1_000],
    ] as const
  ).find(([, size]) => ms > 0 && ms % size === 0);
  return unit ? `${ms / unit[1]}${unit[0]}` : `${ms}ms`;
}

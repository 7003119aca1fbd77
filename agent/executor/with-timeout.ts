import { messageOf } from '../../protocol/errors.ts';
import type { Engine, Executor, ExecutorJob, Exit, Handle, Running, Started, StepEnd } from './executor.ts';

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
 * of them. The timeout counts from when the user's own part begins (`handle`, `begun`): pulling an image is not the step's fault.
 */
export function withTimeout(engine: Engine, after: After = realAfter): Executor {
  const { run, adopt, tellsBegin = false, ...rest } = engine;
  return {
    ...rest,
    start: (job) => {
      const limit = limitOf(job, after);
      const handle = async (handle: Handle) => {
        await job.handle(handle);
        if (!tellsBegin) limit.begun();
      };
      return limit.started(run({ ...job, handle }, limit.begun));
    },
    ...(adopt
      ? {
          adopt: async (handle, job) => {
            const limit = limitOf(job, after);
            const running = await adopt(handle, job, limit.begun);
            return running && limit.started(running);
          },
        }
      : {}),
  };
}

/** The time limit of one step, from when it begins, and what it was asked. */
function limitOf({ spec: { timeoutMs, graceMs } }: ExecutorJob, after: After) {
  let running: Running | undefined;
  let asked: Ask | undefined;
  let ignoredTerm = false;
  let begun = false;
  let over = false;
  let cancelTimer = () => {};

  const term = (why: 'stop' | 'timeout') => {
    if (asked || over || !running?.term()) return;
    asked = why;
    cancelTimer();
    cancelTimer = after(graceMs, () => {
      ignoredTerm = running?.kill() ?? false;
    });
  };
  const kill = () => {
    if (!over && running?.kill()) asked ??= 'kill';
  };
  return {
    begun: (agoMs = 0) => {
      if (!over && !asked && !begun) cancelTimer = after(Math.max(0, timeoutMs - agoMs), () => term('timeout'));
      begun = true;
    },
    started: (what: Running): Started => {
      running = what;
      const ended = what.exit
        .catch((error: unknown): Exit => ({ error: messageOf(error) }))
        .then((exit) => {
          over = true;
          cancelTimer();
          return endOf(exit, asked, { timeoutMs, ignoredMs: ignoredTerm ? graceMs : undefined });
        });
      return { ended, stop: () => term('stop'), kill };
    },
  };
}

/** What the exit of a step means, given what it was asked before it ended. */
export function endOf(exit: Exit, asked: Ask | undefined, at: { timeoutMs: number; ignoredMs: number | undefined }): StepEnd {
  if ('lost' in exit) return { outcome: 'lost', message: exit.lost.slice(0, 4096) };
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

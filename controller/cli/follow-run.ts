import { hasEnded, isSettled, lastAttempt, type Run } from '../../protocol/run.ts';
import { runAnswer } from './answers.ts';
import type { Work } from './cli.ts';
import { followAttempt, patiently } from './follow.ts';
import type { LogSink } from './log-sinks.ts';

/** How often the run is asked for steps and attempts that have begun. */
export const lookEveryMs = 1_000;

export type Following = {
  /** Absent: all steps. */
  step?: string;
  /** Only this attempt; absent: the newest at first, then each that follows. */
  attempt?: number;
  /** Begin with the first attempt of each step instead of its newest. */
  fromFirst: boolean;
  /** Of the first attempt that is followed. */
  offset: number;
};

export const getRun = (w: Work, id: string): Promise<Run> => w.farm.get(['api', 'runs', id], {}, runAnswer);

/**
 * Hands the logs of a run to `sink` as they grow; waits for steps that have not begun, goes on with the attempts that follow.
 * @returns the run when there is nothing more to follow
 */
export async function followRun(first: Run, f: Following, sink: LogSink, w: Work): Promise<Run> {
  const stop = new AbortController();
  const signal = AbortSignal.any([w.signal, stop.signal]);
  const work = { ...w, signal };
  /** By step: the newest attempt taken up so far. */
  const taken = new Map<string, number>();
  const open = new Map<string, Promise<void>>();
  let failure: { error: unknown } | undefined;
  let wake = Promise.withResolvers<void>();

  const follow = async (step: string, attempts: readonly number[], offset: number): Promise<void> => {
    let from = offset;
    for (const attempt of attempts) {
      const log = { run: first.id, step, attempt, offset: from };
      const end = await followAttempt(log, (bytes, at) => sink.bytes(step, attempt, bytes, at), work);
      await sink.end(step, attempt, end);
      from = 0;
    }
  };
  const takeUp = (run: Run): void => {
    for (const { step, attempts, offset } of fresh(run, f, taken)) {
      if (open.has(step)) continue;
      taken.set(step, attempts.at(-1) ?? 0);
      const task = follow(step, attempts, offset)
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => {
          open.delete(step);
          wake.resolve();
        });
      open.set(step, task);
    }
  };

  try {
    for (let run = first, saidWaiting = false; ; ) {
      takeUp(run);
      if (open.size === 0 && isOver(run, f, taken)) return run;
      if (taken.size === 0 && !saidWaiting) {
        w.err.line(w.err.paint('dim', `waiting for ${f.step === undefined ? 'the run' : `step '${f.step}'`} to begin`));
        saidWaiting = true;
      }
      const wholeStep = f.step !== undefined && open.size > 0;
      await (wholeStep ? wake.promise : Promise.race([wake.promise, w.sleep(lookEveryMs, signal)]));
      if (failure) throw failure.error;
      wake = Promise.withResolvers();
      run = await patiently(async () => getRun(w, first.id), work);
    }
  } finally {
    stop.abort();
    await Promise.all(open.values());
  }
}

/** The attempts of each step that nobody follows yet. */
function fresh(run: Run, f: Following, taken: ReadonlyMap<string, number>) {
  return run.at
    .filter((s) => f.step === undefined || s.name === f.step)
    .flatMap((s) => {
      const all = s.attempts.map((a) => a.attempt);
      const last = taken.get(s.name);
      const wanted =
        f.attempt !== undefined
          ? all.filter((a) => a === f.attempt && last === undefined)
          : last !== undefined
            ? all.filter((a) => a > last)
            : f.fromFirst
              ? all
              : all.slice(-1);
      return wanted.length === 0 ? [] : [{ step: s.name, attempts: wanted, offset: last === undefined ? f.offset : 0 }];
    });
}

/** Whether no attempt can follow those that were taken up. A step that starts again in a new round is not settled then. */
function isOver(run: Run, f: Following, taken: ReadonlyMap<string, number>): boolean {
  if (f.attempt !== undefined && f.step !== undefined && taken.has(f.step)) return true;
  const wanted = run.at.filter((s) => f.step === undefined || s.name === f.step);
  const allTaken = wanted.every((s) => f.attempt !== undefined || (lastAttempt(s)?.attempt ?? 0) <= (taken.get(s.name) ?? 0));
  return allTaken && (hasEnded(run) || (f.step !== undefined && wanted.every((s) => isSettled(s.state))));
}

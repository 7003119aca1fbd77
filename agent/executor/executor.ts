import { type Static, Type } from 'typebox';
import type { Refs } from '../../protocol/change.ts';
import type { Step } from '../../protocol/job.ts';
import type { AttemptKey } from '../../protocol/task.ts';

/** How a step ended; `outcome` is that of the `end` notice. */
export const StepEnd = Type.Object({
  outcome: Type.Union([
    Type.Literal('pass'),
    Type.Literal('fail'),
    Type.Literal('error'),
    Type.Literal('stopped'),
    Type.Literal('lost'),
  ]),
  exitCode: Type.Optional(Type.Integer({ description: '128 + the number of the signal that ended it, if one did' })),
  signal: Type.Optional(Type.String({ maxLength: 16, description: "'SIGTERM'" })),
  message: Type.Optional(Type.String({ maxLength: 4096, description: 'One sentence for people, without a secret' })),
});
export type StepEnd = Static<typeof StepEnd>;

/** What finds a started step again after the agent has been restarted. Kept in the journal. */
export const Handle = Type.Union([
  Type.Object({
    kind: Type.Literal('process'),
    pid: Type.Integer({ minimum: 2, description: 'Leads a session and a process group of its own' }),
    startTime: Type.String({ description: 'Tells it from a later process with the same pid' }),
    bootId: Type.String({ description: 'After a reboot nothing of it is left' }),
    nonce: Type.String({ pattern: '^[0-9a-f]{32}$', description: 'In the environment of everything that it started' }),
  }),
  Type.Object({ kind: Type.Literal('scripted') }),
]);
export type Handle = Static<typeof Handle>;

export type ExecutorJob = {
  key: AttemptKey;
  spec: Step;
  /** What the run tests; for `checkout`. */
  refs?: Refs | undefined;
  /** The step's variables, its opened secrets and the farm's own: everything beyond what an executor sets for a plain shell. */
  env: Record<string, string>;
  /** Absolute; where the step runs (below it, with `spec.workdir`). */
  workspace: string;
  /** Absolute, outside `workspace`, no one else's: for what the executor itself must put down. Made when missing. */
  scratch: string;
  /** Gets the output in order, never two pieces at once: the step is held back until the promise resolves. */
  output: (bytes: Buffer) => Promise<void> | void;
  /**
   * Called before anything of the user's runs; what it journals must be durable when it returns. If it fails nothing runs. Called again
   * when the step goes on in another process: only the latest handle finds it then.
   */
  handle: (handle: Handle) => Promise<void> | void;
};

export type Started = {
  /** After the last byte was taken by `output` and nothing of the step is alive any more. Never rejects. */
  ended: Promise<StepEnd>;
  /** TERM now, KILL when `graceMs` is over; the end is then 'stopped' whatever the exit code. Any number of times. */
  stop: () => void;
  /** KILL now, for the step and everything that it started; the end is 'stopped'. Any number of times. */
  kill: () => void;
};

export type Executor = {
  kind: 'docker' | 'kubernetes' | 'process' | 'scripted';
  /** Never throws: what cannot be started ends at once with outcome 'error'. */
  start: (job: ExecutorJob) => Started;
  /** Kills what an earlier agent process left behind. @returns whether there was something */
  reap: (handle: Handle) => Promise<boolean>;
};

/** How the thing itself ended: by exiting, or because the executor could not run it (a sentence). */
export type Exit = { exitCode: number; signal?: string; note?: string } | { error: string };

/**
 * What an executor must bring itself; `withTimeout` makes the rest of it. `term` and `kill` may come at any moment, also before
 * there is anything to end: then nothing is started. They return false when the step had already ended by itself.
 */
export type Engine = Omit<Executor, 'start'> & {
  run: (job: ExecutorJob) => { exit: Promise<Exit>; term: () => boolean; kill: () => boolean };
};

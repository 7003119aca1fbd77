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
  Type.Object({
    kind: Type.Literal('docker'),
    id: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Of the container' }),
    bootId: Type.String({ description: 'After a reboot its output may not be whole' }),
    said: Type.String({ maxLength: 8192, description: 'What the farm itself has put before the output of the step' }),
  }),
]);
export type Handle = Static<typeof Handle>;

export type ExecutorJob = {
  key: AttemptKey;
  spec: Step;
  /** What the run tests; for `checkout`. */
  refs?: Refs | undefined;
  /** For `checkout`: puts a git bundle that holds the commit of `refs`, which is then in no repository, into `file`. Throws a sentence. */
  fetchSource?: ((file: string, signal: AbortSignal) => Promise<void>) | undefined;
  /** The step's variables, its opened secrets and the farm's own: everything beyond what an executor sets for a plain shell. */
  env: Record<string, string>;
  /** Absolute; where the step runs (below it, with `spec.workdir`). */
  workspace: string;
  /** Absolute, outside `workspace`, no one else's: for what the executor itself must put down. Made when missing. */
  scratch: string;
  /**
   * Absolute, on this machine: where the step leaves its files. `env` names it as ARTIFACTS and THRESH_ARTIFACTS; who shows the step another
   * file system mounts it there, writable, and names that place instead.
   */
  artifacts?: string;
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
  /**
   * Once, before `adopt` and `start`: waits for what it needs, and says what is less than it should be.
   * @param about.farm addresses (URLs) that steps have no business with
   */
  prepare?: (about: { farm: readonly string[]; warn: (sentence: string) => void }) => Promise<void>;
  /**
   * Goes on with a step that an earlier agent process left running, or that has ended since. `output` gets all of its output again, from
   * the first byte on, in the same order; `handle` is not called.
   * @param job `env`, `workspace` and `refs` are not looked at
   * @returns undefined when there is nothing to go on with; `reap` is due then
   */
  adopt?: (handle: Handle, job: ExecutorJob) => Promise<Started | undefined>;
  /** The farm knows how this step ended: nothing of it is needed any more. Never rejects. */
  release?: (handle: Handle) => Promise<void>;
  /** Removes what is left of steps other than these. @returns how many there were */
  sweep?: (held: readonly Handle[]) => Promise<number>;
};

/** How the thing itself ended: by exiting, because the executor could not run it, or by no fault of its own (sentences). */
export type Exit = { exitCode: number; signal?: string; note?: string } | { error: string } | { lost: string };

/** `term` and `kill` may come at any moment, also before there is anything to end: then nothing is started. They return false when the step had already ended by itself. */
export type Running = { exit: Promise<Exit>; term: () => boolean; kill: () => boolean };

/**
 * To be called when the user's part has begun, for engines that need a while between `handle` and that.
 * @param agoMs how long ago it began
 */
export type Begun = (agoMs?: number) => void;

/** What an executor must bring itself; `withTimeout` makes the rest of it. */
export type Engine = Omit<Executor, 'start' | 'adopt'> & {
  run: (job: ExecutorJob, begun: Begun) => Running;
  /** Whether `run` calls `begun`; else the user's part begins with `handle`. */
  tellsBegin?: boolean;
  adopt?: (handle: Handle, job: ExecutorJob, begun: Begun) => Promise<Running | undefined>;
};

import { type Static, Type } from 'typebox';

/** A name that people give to a job, a step or a queue and that appears in paths and subjects. */
const name = (maxLength: number) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$' });

/** A name that is also one token of a subject. */
const tokenName = (maxLength: number) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$' });

export const Priority = Type.Union([Type.Literal('high'), Type.Literal('normal'), Type.Literal('low')]);
export type Priority = Static<typeof Priority>;

/**
 * When a step whose needs have all ended runs.
 * success: all of them passed. failure: at least one failed or ended in an error. always: whatever they did.
 */
export const StepWhen = Type.Union([Type.Literal('success'), Type.Literal('failure'), Type.Literal('always')]);
export type StepWhen = Static<typeof StepWhen>;

/**
 * What a lost agent costs a run with a shared workspace. step: the step is given to another agent. round: the run starts again in a fresh
 * workspace. fail: the run.
 */
export const Lost = Type.Union([Type.Literal('step'), Type.Literal('round'), Type.Literal('fail')]);
export type Lost = Static<typeof Lost>;

export const EnvVar = Type.Object({
  name: Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$', maxLength: 256 }),
  value: Type.String({ maxLength: 131_072 }),
});

/** The built-in first step of every run that tests a repository; no step of a job may have its name. */
export const checkoutName = 'checkout';

/** What a step may use at most. Absent: as much as the node gives. */
export const Resources = Type.Object({
  cpu: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 10_000, description: 'Cores; 0.5 is half of one' })),
  memoryBytes: Type.Optional(Type.Integer({ minimum: 6 * 1024 * 1024, description: 'The least that Docker takes is 6 MiB' })),
  pids: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_194_304, description: 'Processes and threads at the same time' })),
});
export type Resources = Static<typeof Resources>;

/** A directory or file of the node that a step sees; the node's policy must list it. */
export const HostPath = Type.Object({
  path: Type.String({ pattern: '^/', maxLength: 4096 }),
  mount: Type.String({ pattern: '^/', maxLength: 4096, description: 'Where the step sees it' }),
  readOnly: Type.Boolean(),
});
export type HostPath = Static<typeof HostPath>;

/** As Kubernetes' imagePullPolicy. */
export const PullPolicy = Type.Union([Type.Literal('always'), Type.Literal('if-not-present'), Type.Literal('never')]);
export type PullPolicy = Static<typeof PullPolicy>;

/** What one step runs, resolved: nothing in it refers to the configuration any more. */
export const Step = Type.Object({
  name: tokenName(63),
  image: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
  command: Type.Optional(Type.Array(Type.String(), { description: 'Replaces the image’s entry point' })),
  args: Type.Optional(Type.Array(Type.String())),
  script: Type.Optional(Type.String({ description: 'Run by /bin/sh -e unless it opens with #!; excludes command and args' })),
  env: Type.Array(EnvVar),
  secrets: Type.Record(Type.String(), Type.String(), { description: 'Environment variable -> name of a secret of the farm' }),
  needs: Type.Array(Type.String(), { description: 'Steps that must have ended before' }),
  when: StepWhen,
  finally: Type.Boolean({ description: 'Runs after all other steps, even in a cancelled run' }),
  timeoutMs: Type.Integer({ minimum: 1_000, description: 'TERM when it is over, KILL after graceMs' }),
  graceMs: Type.Integer({ minimum: 0 }),
  retries: Type.Integer({ minimum: 0, maximum: 10, description: 'How often a failed step is tried again' }),
  queue: tokenName(64),
  workdir: Type.Optional(
    Type.String({ description: 'Relative to the workspace; absent: the source of the run, when it tests a repository' }),
  ),
  /** What follows is for executors with containers. Everything that reaches beyond the container must be in the policy of the agent's node. */
  pullPolicy: Type.Optional(PullPolicy),
  resources: Type.Optional(Resources),
  user: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$',
      description: "'1000', '1000:1000' or a name that the image knows; absent: the image's own",
    }),
  ),
  network: Type.Optional(
    Type.Union([Type.Literal('none'), Type.Literal('default'), Type.Literal('host')], {
      description: "default: out to the world, but not to the node, the farm or the cloud's metadata",
    }),
  ),
  privileged: Type.Optional(Type.Boolean()),
  capabilities: Type.Optional(
    Type.Array(Type.String({ pattern: '^[A-Z][A-Z_]{1,39}$' }), { maxItems: 64, description: "To add; without 'CAP_'" }),
  ),
  hostPaths: Type.Optional(Type.Array(HostPath, { maxItems: 64 })),
  onLeaseLoss: Type.Optional(
    Type.Literal('stop', {
      description: 'It must be dead before another agent could be given its attempt: it has effects outside',
    }),
  ),
  builtin: Type.Optional(Type.Literal('checkout', { description: 'Executed by the agent itself; runs nothing of the user’s' })),
});
export type Step = Static<typeof Step>;

export const JobType = Type.Union([
  Type.Literal('presubmit'),
  Type.Literal('postsubmit'),
  Type.Literal('periodic'),
  Type.Literal('batch'),
  Type.Literal('manual'),
]);
export type JobType = Static<typeof JobType>;

/** A job after defaulting and validation. Field names of the trigger part follow Prow's, in camel case. */
export const Job = Type.Object({
  name: name(255),
  type: JobType,
  repo: Type.Optional(Type.String({ description: "'org/repo'; absent on periodics" })),
  source: Type.Object({ file: Type.String(), line: Type.Integer() }),
  labels: Type.Record(Type.String(), Type.String()),
  annotations: Type.Record(Type.String(), Type.String()),
  maxConcurrency: Type.Integer({ minimum: 0, description: 'Runs of this job at the same time; 0: unlimited' }),
  group: Type.Optional(Type.String({ description: "Prow's job_queue_name" })),
  priority: Priority,
  workspace: Type.Union([Type.Literal('local'), Type.Literal('shared')]),
  lost: Type.Optional(Lost),
  trust: Type.Union([Type.Literal('members'), Type.Literal('all')], {
    description: 'Whose pull requests run without /ok-to-test',
  }),
  alwaysRun: Type.Boolean(),
  runIfChanged: Type.Optional(Type.String()),
  skipIfOnlyChanged: Type.Optional(Type.String()),
  branches: Type.Array(Type.String()),
  skipBranches: Type.Array(Type.String()),
  cron: Type.Optional(Type.String()),
  interval: Type.Optional(Type.String()),
  minimumInterval: Type.Optional(Type.String()),
  context: Type.String(),
  optional: Type.Boolean(),
  skipReport: Type.Boolean(),
  cloneUri: Type.Optional(Type.String()),
  pathAlias: Type.Optional(Type.String()),
  steps: Type.Array(Step, { minItems: 1, maxItems: 500 }),
});
export type Job = Static<typeof Job>;

/** A problem in a job file: where it is, what is wrong and what to do about it. */
export type Problem = { file: string; line?: number; column?: number; job?: string; message: string };

/** The whole job configuration, normalised. `hash` is the SHA-256 (hex) of `jobs` as stored under `config/<hash>`. */
export type JobConfig = { hash: string; jobs: Job[] };

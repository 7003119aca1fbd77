import { type Static, type TSchema, Type } from 'typebox';

/*
 * The file format, before defaults. `description` says in an error message what was expected. Durations and `env` are Unknown here:
 * they have two spellings, and env.ts and go-duration.ts read them. Where more properties are allowed, Prow has fields that this
 * version does not act on, and ignores those that it does not know.
 */

const closed = { additionalProperties: false };
const text = Type.String();
const texts = Type.Array(Type.String(), { description: 'a list of text' });
const flag = Type.Boolean();
/** Unlike Type.Record it also looks at keys with line breaks. */
const textMap = Type.Unsafe<Record<string, string>>(Type.Object({}, { additionalProperties: Type.String() }));
const oneOf = <const T extends string[]>(...words: T) =>
  Type.Unsafe<T[number]>(Type.Enum(words, { description: `one of ${words.join(', ')}` }));

const jobName = Type.String({
  pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$',
  maxLength: 255,
  description: "at most 255 letters, digits, '.', '_' and '-' that begin and end with a letter or digit",
});
const token = (maxLength: number) =>
  Type.String({
    pattern: '^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$',
    maxLength,
    description: `at most ${maxLength} letters, digits, '_' and '-' that begin and end with a letter or digit`,
  });

export const RawEnvVar = Type.Object({
  name: Type.String({
    pattern: '^[A-Za-z_][A-Za-z0-9_]*$',
    maxLength: 256,
    description: "the name of an environment variable (letters, digits and '_', not beginning with a digit)",
  }),
  value: Type.Optional(Type.String({ maxLength: 131_072 })),
  /** Kubernetes' way to take a value from elsewhere: tolerated, and left out in this version. */
  valueFrom: Type.Optional(Type.Unknown()),
});
export type RawEnvVar = Static<typeof RawEnvVar>;

const absolutePath = Type.String({ pattern: '^/', maxLength: 4096, description: "a path that begins with '/'" });
const capabilityNames = Type.Array(
  Type.String({ pattern: '^[A-Za-z][A-Za-z_]{1,39}$', description: 'the name of a Linux capability, such as NET_ADMIN' }),
  { maxItems: 64, description: 'a list of Linux capabilities' },
);
const userName = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}';

/** One step of `steps` or `finally`. */
export const RawStep = Type.Object(
  {
    name: token(63),
    image: Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description: 'the name of an image' })),
    command: Type.Optional(texts),
    args: Type.Optional(texts),
    script: Type.Optional(text),
    env: Type.Optional(Type.Unknown()),
    secrets: Type.Optional(textMap),
    needs: Type.Optional(Type.Array(text, { maxItems: 500, description: 'a list of at most 500 step names' })),
    when: Type.Optional(oneOf('success', 'failure', 'always')),
    timeout: Type.Optional(Type.Unknown()),
    grace_period: Type.Optional(Type.Unknown()),
    retries: Type.Optional(Type.Integer({ minimum: 0, maximum: 10 })),
    queue: Type.Optional(token(64)),
    workdir: Type.Optional(text),
    on_lease_loss: Type.Optional(oneOf('stop')),
    // What it asks of the node; container-needs.ts.
    pull_policy: Type.Optional(oneOf('always', 'if-not-present', 'never')),
    resources: Type.Optional(
      Type.Object(
        {
          cpu: Type.Optional(Type.Unknown()),
          memory: Type.Optional(Type.Unknown()),
          pids: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_194_304 })),
        },
        closed,
      ),
    ),
    user: Type.Optional(
      Type.Union(
        [Type.Integer({ minimum: 0, maximum: 4_294_967_294 }), Type.String({ pattern: `^${userName}(:${userName})?$` })],
        { description: "a user such as 1000, '1000:1000' or 'build'" },
      ),
    ),
    network: Type.Optional(oneOf('none', 'default', 'host')),
    privileged: Type.Optional(flag),
    capabilities: Type.Optional(capabilityNames),
    host_paths: Type.Optional(
      Type.Array(
        Type.Object({ path: absolutePath, mount: Type.Optional(absolutePath), read_only: Type.Optional(flag) }, closed),
        { maxItems: 64, description: 'a list of at most 64 paths' },
      ),
    ),
  },
  closed,
);
export type RawStep = Static<typeof RawStep>;

const runAs = {
  runAsUser: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_294 })),
  runAsGroup: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_294 })),
};

/** The container of a Kubernetes PodSpec, as far as this version goes. */
export const RawContainer = Type.Object({
  name: Type.Optional(text),
  image: Type.Optional(Type.String({ maxLength: 1024, description: 'the name of an image' })),
  command: Type.Optional(texts),
  args: Type.Optional(texts),
  env: Type.Optional(Type.Unknown()),
  resources: Type.Optional(
    Type.Object({
      limits: Type.Optional(Type.Object({ cpu: Type.Optional(Type.Unknown()), memory: Type.Optional(Type.Unknown()) })),
    }),
  ),
  securityContext: Type.Optional(
    Type.Object({
      ...runAs,
      privileged: Type.Optional(flag),
      capabilities: Type.Optional(Type.Object({ add: Type.Optional(capabilityNames) })),
    }),
  ),
  imagePullPolicy: Type.Optional(oneOf('Always', 'IfNotPresent', 'Never')),
  volumeMounts: Type.Optional(
    Type.Array(Type.Object({ name: text, mountPath: absolutePath, readOnly: Type.Optional(flag) }), { maxItems: 64 }),
  ),
});
export type RawContainer = Static<typeof RawContainer>;

export const RawSpec = Type.Object({
  containers: Type.Array(Type.Unknown(), { description: 'a list of one container' }),
  initContainers: Type.Optional(Type.Array(Type.Unknown())),
  hostNetwork: Type.Optional(flag),
  securityContext: Type.Optional(Type.Object(runAs)),
  /** Those of the node count; others are left out in this version. */
  volumes: Type.Optional(
    Type.Array(Type.Object({ name: text, hostPath: Type.Optional(Type.Object({ path: absolutePath })) }), { maxItems: 1_000 }),
  ),
});
export type RawSpec = Static<typeof RawSpec>;

export const RawDecoration = Type.Object({ timeout: Type.Optional(Type.Unknown()), grace_period: Type.Optional(Type.Unknown()) });

/** A job of any type: Prow's fields under Prow's names, and ours. Which of them count depends on the type, as in Prow. */
export const RawJob = Type.Object({
  name: jobName,
  labels: Type.Optional(textMap),
  annotations: Type.Optional(textMap),
  max_concurrency: Type.Optional(Type.Integer({ minimum: 0 })),
  job_queue_name: Type.Optional(text),
  cluster: Type.Optional(text),
  clone_uri: Type.Optional(text),
  path_alias: Type.Optional(text),
  decoration_config: Type.Optional(RawDecoration),
  always_run: Type.Optional(flag),
  run_if_changed: Type.Optional(text),
  skip_if_only_changed: Type.Optional(text),
  branches: Type.Optional(Type.Array(text, { description: 'a list of regular expressions' })),
  skip_branches: Type.Optional(Type.Array(text, { description: 'a list of regular expressions' })),
  optional: Type.Optional(flag),
  skip_report: Type.Optional(flag),
  context: Type.Optional(text),
  cron: Type.Optional(text),
  interval: Type.Optional(text),
  minimum_interval: Type.Optional(text),
  spec: Type.Optional(RawSpec),
  // Ours.
  steps: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 500, description: 'a list of at most 500 steps' })),
  finally: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 500, description: 'a list of at most 500 steps' })),
  queue: Type.Optional(token(64)),
  priority: Type.Optional(oneOf('high', 'normal', 'low')),
  workspace: Type.Optional(oneOf('local', 'shared')),
  lost: Type.Optional(oneOf('step', 'round', 'fail')),
  trust: Type.Optional(oneOf('members', 'all')),
  timeout: Type.Optional(Type.Unknown()),
  env: Type.Optional(Type.Unknown()),
});
export type RawJob = Static<typeof RawJob>;

/** Prow's job fields that this version reads over. */
export const otherProwFields = [
  'agent',
  'namespace',
  'error_on_eviction',
  'pipeline_run_spec',
  'tekton_pipeline_run_spec',
  'jenkins_spec',
  'decorate',
  'extra_refs',
  'skip_submodules',
  'clone_depth',
  'skip_fetch_head',
  'reporter_config',
  'rerun_auth_config',
  'hidden',
  'prowjob_defaults',
  'trigger',
  'rerun_command',
  'run_before_merge',
  'tags',
  'retry',
];

/** Environment (and in Prow volumes) for all jobs that carry its labels. */
export const RawPreset = Type.Object({ labels: Type.Optional(textMap), env: Type.Optional(Type.Unknown()) });
export type RawPreset = Static<typeof RawPreset>;

/** What holds for all jobs of a repository. */
export const RawRepository = Type.Object({ trust: Type.Optional(oneOf('members', 'all')) }, closed);

/** A whole file; jobs are looked at one by one. */
export const RawFile = Type.Object(
  {
    presets: Type.Optional(Type.Array(Type.Unknown(), { description: 'a list of presets' })),
    presubmits: Type.Optional(jobsByRepo()),
    postsubmits: Type.Optional(jobsByRepo()),
    periodics: Type.Optional(Type.Array(Type.Unknown(), { description: 'a list of jobs' })),
    manual: Type.Optional(Type.Array(Type.Unknown(), { description: 'a list of jobs' })),
    repositories: Type.Optional(
      Type.Unsafe<Record<string, unknown>>(Type.Object({}, { description: 'a map from org/repo to its settings' })),
    ),
    prow_ignored: Type.Optional(Type.Unknown()),
  },
  closed,
);
export type RawFile = Static<typeof RawFile>;

function jobsByRepo() {
  const jobs = Type.Array(Type.Unknown(), { description: 'a list of jobs' });
  return Type.Unsafe<Record<string, unknown[]>>(
    Type.Object({}, { additionalProperties: jobs, description: 'a map from org/repo to a list of jobs' }),
  );
}

/** The names of the fields of a noun. */
export const fieldsOf = (schema: TSchema): string[] =>
  Object.keys((schema as { properties?: Record<string, unknown> }).properties ?? {});

import type { Job, Step } from '../../protocol/job.ts';
import { needsOfContainer, needsOfStep } from './container-needs.ts';
import { readEnv } from './env.ts';
import { durationMs } from './go-duration.ts';
import type { DefinedType } from './job-type.ts';
import { inOrder } from './order-steps.ts';
import type { RawContainer, RawJob, RawStep } from './schema.ts';

/** Prow's default_job_timeout. */
const defaultTimeoutMs = 24 * 3_600_000;
/** Prow's entrypoint waits so long after TERM when nothing else is said. */
const defaultGraceMs = 15_000;

/** A job that lacks what only the whole configuration can tell: the trust of its repository and the environment of presets. */
export type Draft = Omit<Job, 'trust'> & { trust?: Job['trust'] };

/** @param raw a job in which validateJob found nothing wrong */
export function normaliseJob(raw: RawJob, at: { type: DefinedType; repo?: string; source: Job['source'] }): Draft {
  const { type } = at;
  const trigger: Partial<RawJob> = type === 'presubmit' || type === 'postsubmit' ? raw : {};
  return {
    name: raw.name,
    type,
    ...(at.repo === undefined ? {} : { repo: at.repo }),
    source: at.source,
    labels: { ...raw.labels },
    annotations: { ...raw.annotations },
    maxConcurrency: raw.max_concurrency ?? 0,
    ...optional('group', raw.job_queue_name),
    priority: raw.priority ?? 'normal',
    workspace: raw.workspace ?? 'local',
    ...optional('lost', raw.lost),
    ...optional('trust', raw.trust),
    alwaysRun: alwaysRun(raw, type),
    ...optional('runIfChanged', trigger.run_if_changed),
    ...optional('skipIfOnlyChanged', trigger.skip_if_only_changed),
    branches: [...(trigger.branches ?? [])],
    skipBranches: [...(trigger.skip_branches ?? [])],
    ...(type === 'periodic' ? schedule(raw) : {}),
    context: trigger.context || raw.name,
    optional: type === 'presubmit' && (raw.optional ?? false),
    skipReport: trigger.skip_report ?? false,
    ...optional('cloneUri', raw.clone_uri),
    ...optional('pathAlias', raw.path_alias),
    steps: raw.steps ? steps(raw) : [containerStep(raw)],
  };
}

/** A postsubmit that says nothing runs on every push; change filters decide before `always_run` does. */
function alwaysRun(raw: RawJob, type: DefinedType): boolean {
  if (type === 'presubmit') return raw.always_run ?? false;
  return type === 'postsubmit' && (raw.always_run ?? !(raw.run_if_changed || raw.skip_if_only_changed));
}

const schedule = (raw: RawJob): Pick<Job, 'cron' | 'interval' | 'minimumInterval'> => ({
  ...optional('cron', raw.cron),
  ...optional('interval', raw.interval),
  ...optional('minimumInterval', raw.minimum_interval),
});

/** Empty text means absent, as in Go. */
function optional<K extends string, V extends string>(key: K, value: V | undefined): { [k in K]?: V } {
  return value ? ({ [key]: value } as { [k in K]?: V }) : {};
}

function containerStep(raw: RawJob): Step {
  const container = raw.spec?.containers[0] as RawContainer;
  return {
    name: 'test',
    ...program(container),
    env: envOf(raw.env, container.env),
    secrets: {},
    needs: [],
    when: 'success',
    finally: false,
    ...limits(raw, {}),
    retries: 0,
    queue: raw.queue ?? 'default',
    ...(raw.spec ? needsOfContainer(raw.spec, container) : {}),
  };
}

function steps(raw: RawJob): Step[] {
  const ordinary = inOrder((raw.steps ?? []) as RawStep[]);
  const last = inOrder((raw.finally ?? []) as RawStep[]);
  const names = ordinary.map((s) => s.name);
  return [...ordinary.map((s) => step(raw, s)), ...last.map((s) => finallyStep(raw, s, names))];
}

function step(raw: RawJob, s: RawStep): Step {
  return {
    name: s.name,
    ...program(s),
    ...(s.script === undefined ? {} : { script: s.script }),
    env: envOf(raw.env, s.env),
    secrets: { ...s.secrets },
    needs: [...new Set(s.needs)],
    when: s.when ?? 'success',
    finally: false,
    ...limits(raw, s),
    retries: s.retries ?? 0,
    queue: s.queue ?? raw.queue ?? 'default',
    ...optional('workdir', s.workdir),
    ...optional('onLeaseLoss', s.on_lease_loss),
    ...needsOfStep(s),
  };
}

/**
 * A step of `finally` that names no needs follows all ordinary steps: it always runs, unless its `when` says how they must have
 * ended. One that names needs has the defaults of every step.
 */
function finallyStep(raw: RawJob, s: RawStep, ordinary: string[]): Step {
  const like = { ...step(raw, s), finally: true };
  if (like.needs.length > 0) return like;
  return s.when === undefined || s.when === 'always' ? { ...like, when: 'always' } : { ...like, needs: ordinary };
}

const program = (p: Pick<RawContainer, 'image' | 'command' | 'args'>): Pick<Step, 'image' | 'command' | 'args'> => ({
  ...optional('image', p.image),
  ...(p.command?.length ? { command: [...p.command] } : {}),
  ...(p.args?.length ? { args: [...p.args] } : {}),
});

/** The job's timeout is that of each of its steps. */
function limits(raw: RawJob, s: Pick<RawStep, 'timeout' | 'grace_period'>): Pick<Step, 'timeoutMs' | 'graceMs'> {
  const timeout = durationMs(s.timeout ?? raw.timeout ?? raw.decoration_config?.timeout) ?? defaultTimeoutMs;
  const grace = durationMs(s.grace_period ?? raw.decoration_config?.grace_period) ?? defaultGraceMs;
  return { timeoutMs: Math.round(timeout), graceMs: Math.round(grace) };
}

/** The job's variables, then those of the step, which win. */
function envOf(job: unknown, own: unknown): Step['env'] {
  const [outer, inner] = [readEnv(job, []).env, readEnv(own, []).env];
  const names = new Set(inner.map((v) => v.name));
  return [...outer.filter((v) => !names.has(v.name)), ...inner];
}

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import { FarmError } from '../../protocol/errors.ts';
import { CannotRun, workdirIn } from './command.ts';
import { type ContainerFacts, containerName, containerOptions, keptLogBytes, labels } from './docker-config.ts';
import { stepNetworks } from './docker-network.ts';
import { demultiplex, openOrder } from './docker-output.ts';
import { haveImage, reasonOf, statusOf } from './docker-pull.ts';
import { ask, openLog, type Progress, send, watch } from './docker-watch.ts';
import { checkHostPaths, giveWorkspace } from './docker-workspace.ts';
import type { Begun, Engine, Executor, ExecutorJob, Exit, Handle, Running } from './executor.ts';
import { closedPolicy, type NodePolicy, refusalOf } from './policy.ts';
import { bootId } from './processes.ts';
import { withTimeout } from './with-timeout.ts';

export type DockerOptions = {
  /** Tells containers, network and rules of this agent from those of others on the same engine; the same after a restart. */
  owner: string;
  /** For the names of containers. */
  agent: string;
  /** What steps may ask of this node; default: nothing beyond their container. */
  policy?: NodePolicy;
  /** Of steps that name none. */
  defaultImage?: string;
  /** The engine's socket; absent: where DOCKER_HOST says, or the usual place. */
  socketPath?: string;
  /** How long `prepare` waits for the engine. */
  patienceMs?: number;
};

/**
 * Runs steps as containers of the Docker Engine. They outlive this process: a later one goes on with them, and their output, where
 * this one was. They are removed when the farm knows how they ended.
 */
export const dockerExecutor = (options: DockerOptions): Executor => withTimeout(dockerEngine(options));

/** Whether an engine answers. */
export const dockerAnswers = (socketPath?: string): Promise<boolean> =>
  Promise.race([
    dial(socketPath)
      .ping()
      .then(
        () => true,
        () => false,
      ),
    sleep(2_000, false),
  ]);

const dial = (socketPath: string | undefined): Docker => new Docker(socketPath === undefined ? undefined : { socketPath });

/** For the watchdog: ends it, and leaves it to the agent. */
export async function killContainer(handle: Handle): Promise<void> {
  if (handle.kind === 'docker') await dial(undefined).getContainer(handle.id).kill();
}

/** For the watchdog: nothing of it moves until it is continued, or killed. */
export async function pauseContainer(handle: Handle, on: boolean): Promise<void> {
  if (handle.kind !== 'docker') return;
  const container = dial(undefined).getContainer(handle.id);
  await (on ? container.pause() : container.unpause());
}

/** Ours, as far as the run of one step needs it. */
type Context = Required<Pick<DockerOptions, 'owner' | 'agent' | 'policy'>> &
  Pick<DockerOptions, 'defaultImage'> & { docker: Docker; networks: ReturnType<typeof stepNetworks> };

function dockerEngine(options: DockerOptions): Engine {
  const docker = dial(options.socketPath);
  const { owner, agent, defaultImage, policy = closedPolicy } = options;
  const context: Context = {
    docker,
    owner,
    agent,
    policy,
    networks: stepNetworks({ docker, owner, policy }),
    ...(defaultImage ? { defaultImage } : {}),
  };
  return {
    kind: 'docker',
    tellsBegin: true,
    run: (job, begun) => {
      const at: Progress = { ended: false, aborting: new AbortController() };
      return running(at, runContainer(context, job, at, begun));
    },
    prepare: async ({ farm, warn }) => {
      await untilAnswers(docker, options.patienceMs ?? 60_000);
      await context.networks.prepare(farm, warn);
    },
    adopt: (handle, job, begun) => adopt(docker, handle, job, begun),
    reap: async (handle) => handle.kind === 'docker' && (await remove(docker.getContainer(handle.id))),
    release: async (handle) => {
      // What stays is swept by the next start.
      if (handle.kind === 'docker') await remove(docker.getContainer(handle.id)).catch(() => {});
    },
    sweep: (held) => sweep(docker, owner, held),
  };
}

const running = (at: Progress, exit: Promise<Exit>): Running => ({
  exit: exit
    .catch((error: unknown): Exit => {
      if (at.asked && !at.container) return neverRan;
      return { error: error instanceof CannotRun ? error.message : `the step could not be run by Docker: ${reasonOf(error)}` };
    })
    .finally(() => {
      at.ended = true;
    }),
  term: () => ask(at, 'SIGTERM'),
  kill: () => ask(at, 'SIGKILL'),
});

const neverRan: Exit = { exitCode: 128 + constants.signals.SIGTERM, signal: 'SIGTERM' };

/** @throws FarmError NO_DOCKER */
async function untilAnswers(docker: Docker, patienceMs: number): Promise<void> {
  for (const until = performance.now() + patienceMs; ; await sleep(500)) {
    try {
      await docker.ping();
      return;
    } catch (error) {
      if (performance.now() > until) throw new FarmError('NO_DOCKER', { detail: reasonOf(error) }, { cause: error });
    }
  }
}

async function runContainer(context: Context, job: ExecutorJob, at: Progress, begun: Begun): Promise<Exit> {
  let said = '';
  const say = async (text: string) => {
    const line = `[thresh: ${text}]\n`;
    if (said.length + line.length > 4_096) return;
    said += line;
    await job.output(Buffer.from(line));
  };
  const { container, user } = await makeContainer(context, job, at, say);
  try {
    await giveWorkspace([job.workspace, ...(job.artifacts === undefined ? [] : [job.artifacts])], container, user);
    // Before it begins, so that nothing is missed; and a step that is not read is held back.
    const attached = await container.attach({ stream: true, stdout: true, stderr: true });
    const order = openOrder(orderFile(job));
    try {
      await job.handle({ kind: 'docker', id: container.id, bootId: await bootId(), said });
      if (at.asked) throw new CannotRun('stopped');
      await container.start().catch((error: unknown) => {
        throw new CannotRun(`the container could not be started: ${reasonOf(error)}`);
      });
      at.container = container;
      begun();
      send(at);
      return await watch({ container, at, order, output: job.output, emitted: 0, attached });
    } finally {
      order.close();
      (attached as { destroy?: () => void }).destroy?.();
    }
  } catch (error) {
    await remove(container).catch(() => {});
    throw error;
  }
}

/** Everything that can be refused is, before anything is pulled. @throws CannotRun */
async function makeContainer(
  context: Context,
  job: ExecutorJob,
  at: Progress,
  say: (text: string) => Promise<void>,
): Promise<{ container: Docker.Container; user: string }> {
  const { docker, policy } = context;
  const { spec } = job;
  const image = spec.image ?? context.defaultImage;
  if (image === undefined)
    throw new CannotRun('the step names no image, and this agent has none for such steps (--default-image)');
  const refusal = refusalOf(spec, image, policy);
  if (refusal) throw new CannotRun(refusal);
  const workdir = relative(await workdirIn(job.workspace, undefined), await workdirIn(job.workspace, spec.workdir));
  await checkHostPaths(spec.hostPaths ?? []);
  await mkdir(job.scratch, { recursive: true, mode: 0o711 });
  const scriptFile = await writeScript(job);
  const { Config: own } = await haveImage({ docker, image, policy: spec.pullPolicy, say, signal: at.aborting.signal });
  const network = await context.networks.forStep(spec);
  if (network.note) await say(network.note);
  const facts: ContainerFacts = {
    ...context,
    ...job,
    image,
    own: { entrypoint: list(own.Entrypoint), cmd: list(own.Cmd) },
    workdir,
    ...(scriptFile === undefined ? {} : { scriptFile }),
    network: network.mode,
  };
  if (at.asked) throw new CannotRun('stopped');
  return { container: await create(context, facts), user: spec.user ?? policy.user ?? own.User ?? '' };
}

const list = (value: string | string[] | null | undefined): string[] => (typeof value === 'string' ? [value] : (value ?? []));

/** For any user of the container to read and execute; the directories above it are shut to people of the node. */
async function writeScript({ spec, scratch }: ExecutorJob): Promise<string | undefined> {
  if (spec.script === undefined) return undefined;
  const file = join(scratch, 'script');
  await writeFile(file, spec.script);
  await chmod(file, 0o755);
  return file;
}

const orderFile = ({ scratch }: Pick<ExecutorJob, 'scratch'>): string => join(scratch, 'output-order');

/** A container of this name that is ours is what an agent left that died before it was journalled. */
async function create({ docker, owner }: Context, facts: ContainerFacts): Promise<Docker.Container> {
  const options = containerOptions(facts);
  const make = () =>
    docker.createContainer(options).catch((error: unknown) => {
      if (statusOf(error) === 409) throw error;
      throw new CannotRun(`the container could not be made: ${reasonOf(error)}`);
    });
  return make().catch(async (error: unknown) => {
    if (statusOf(error) !== 409) throw error;
    const there = docker.getContainer(containerName(facts));
    const { Config } = await there.inspect();
    if (Config.Labels[labels.owner] !== owner)
      throw new CannotRun(`another farm's container is called ${containerName(facts)} on this node`);
    await remove(there);
    return make();
  });
}

/** Goes on with a container that was started by an earlier process of this agent, whether it still runs or not. */
async function adopt(docker: Docker, handle: Handle, job: ExecutorJob, begun: Begun): Promise<Running | undefined> {
  if (handle.kind !== 'docker' || handle.bootId !== (await bootId())) return undefined;
  const container = docker.getContainer(handle.id);
  const found = await container.inspect().catch((error: unknown) => {
    if (statusOf(error) === 404) return undefined;
    throw error;
  });
  if (!found || found.State.Status === 'created') return undefined;
  const order = openOrder(orderFile(job));
  if (!(await isKeptWhole(container, order.total))) {
    order.close();
    return undefined;
  }
  const at: Progress = { ended: false, aborting: new AbortController(), container };
  if (found.State.Running) begun(Math.max(0, Date.now() - Date.parse(found.State.StartedAt)));
  const goOn = async () => {
    await job.output(Buffer.from(handle.said));
    return watch({ container, at, order, output: job.output, emitted: 0 });
  };
  return running(at, goOn().finally(order.close));
}

/** A log never takes more room than this for one byte of output, so below that nothing can have been dropped. */
const mostRoomPerByte = 128;

async function isKeptWhole(container: Docker.Container, printed: number): Promise<boolean> {
  if (printed < keptLogBytes / mostRoomPerByte) return true;
  let kept = 0;
  for await (const { bytes } of demultiplex(await openLog(container, false))) kept += bytes.length;
  return kept >= printed;
}

/** Kills it too. @returns whether it was there */
const remove = (container: Docker.Container): Promise<boolean> =>
  container.remove({ force: true, v: true }).then(
    () => true,
    (error: unknown) => {
      const status = statusOf(error);
      if (status === 404) return false;
      // It is being removed already.
      if (status === 409) return true;
      throw error;
    },
  );

async function sweep(docker: Docker, owner: string, held: readonly Handle[]): Promise<number> {
  const keep = new Set(held.map((h) => (h.kind === 'docker' ? h.id : '')));
  const all = await docker.listContainers({ all: true, filters: { label: [`${labels.owner}=${owner}`] } });
  const left = all.filter(({ Id }) => !keep.has(Id));
  const removed = await Promise.all(left.map(({ Id }) => remove(docker.getContainer(Id)).catch(() => false)));
  return removed.filter(Boolean).length;
}

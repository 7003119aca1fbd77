import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants as fsConstants } from 'node:fs';
import { access, chmod, chown, mkdir, mkdtemp, open, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../protocol/errors.ts';
import type { Step } from '../../protocol/job.ts';
import { keyOf } from '../../protocol/task.ts';
import { removeTree } from '../workspace/remove-tree.ts';
import { CannotRun, checkReachable, findCommand, workdirIn } from './command.ts';
import type { Engine, Executor, ExecutorJob, Exit, Handle } from './executor.ts';
import { type OutputPipe, openOutputPipe } from './output-pipe.ts';
import { bootId, type Family, killFamily, killQuietly, membersOf, startTimeOf } from './processes.ts';
import { defaultStepUser, type StepUser } from './user.ts';
import { withTimeout } from './with-timeout.ts';

export type ProcessOptions = {
  /** As whom steps run; only root can choose. Default: user nobody when the agent is root, else the agent's own user. */
  user?: StepUser | undefined;
  /** The PATH of steps that set none. */
  path?: string;
  /** How long to wait for the end of the output when everything that could write is dead. */
  drainMs?: number;
};

const standardPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const shell = '/bin/sh';

/**
 * Runs steps as processes of this machine, without a container: for trusted jobs only. Each is the leader of a session and a process
 * group of its own, with nothing of the agent's environment.
 *
 * Written on node:child_process and not on execa: a step needs descriptors that are handed over, and its whole group is killed.
 */
export const processExecutor = (options: ProcessOptions = {}): Executor => withTimeout(processEngine(options));

const processEngine = (options: ProcessOptions): Engine => ({
  kind: 'process',
  reap: reapProcess,
  run: (job) => {
    const at: Progress = { ended: false };
    return {
      exit: runProcess(job, options, at),
      term: () => ask(at, 'SIGTERM'),
      kill: () => ask(at, 'SIGKILL'),
    };
  },
});

/** What `term` and `kill` must know of a step that is being started at the same time. */
type Progress = { asked?: 'SIGTERM' | 'SIGKILL'; ended: boolean; leader?: number };

function ask(at: Progress, signal: 'SIGTERM' | 'SIGKILL'): boolean {
  if (at.ended) return false;
  if (at.asked !== 'SIGKILL') at.asked = signal;
  if (at.leader) killQuietly(-at.leader, signal);
  return true;
}

const neverRan: Exit = { exitCode: 128 + constants.signals.SIGTERM, signal: 'SIGTERM' };

async function runProcess(job: ExecutorJob, options: ProcessOptions, at: Progress): Promise<Exit> {
  const user = process.getuid?.() === 0 ? (options.user ?? defaultStepUser()) : undefined;
  let own: string | undefined;
  try {
    const cwd = await workdirIn(job.workspace, job.spec.workdir);
    own = await makeOwnDir(job, user);
    if (user) await openWorkspaceTo(job.workspace, cwd, user);
    const nonce = randomBytes(16).toString('hex');
    const env = environment(job, own, options.path ?? standardPath, nonce);
    const argv = await argvOf(job.spec, own, cwd, env.PATH ?? standardPath, user);
    return at.asked
      ? neverRan
      : await runCommand({ job, at, argv, cwd, env, own, nonce, user, drainMs: options.drainMs ?? 2_000 });
  } catch (error) {
    if (error instanceof CannotRun) return { error: error.message };
    return { error: `the step could not be started: ${messageOf(error)}` };
  } finally {
    if (own) await removeTree(own).catch(() => {});
  }
}

/** A directory that only the agent can change, with the step's HOME and TMPDIR in it. */
async function makeOwnDir(job: ExecutorJob, user: StepUser | undefined): Promise<string> {
  if (await mkdir(job.scratch, { recursive: true })) await chmod(job.scratch, 0o711);
  const own = await mkdtemp(join(job.scratch, 'step-'));
  await chmod(own, 0o711);
  for (const name of ['home', 'tmp']) {
    await mkdir(join(own, name), { mode: 0o700 });
    if (user) await chown(join(own, name), user.uid, user.gid);
  }
  if (user) await checkReachable(own, user);
  return own;
}

/** The directory itself only: what stands in it may be another step's doing, and is not to be trusted with a change of owner. */
async function openWorkspaceTo(workspace: string, cwd: string, user: StepUser): Promise<void> {
  const dir = await open(workspace, fsConstants.O_RDONLY | fsConstants.O_DIRECTORY | fsConstants.O_NOFOLLOW);
  try {
    if ((await dir.stat()).uid !== user.uid) await dir.chown(user.uid, user.gid);
  } finally {
    await dir.close();
  }
  await checkReachable(cwd, user);
}

/** Everything that the step sees of its surroundings. What the farm needs to find it again cannot be overridden. */
const environment = (job: ExecutorJob, own: string, path: string, nonce: string): Record<string, string> => ({
  PATH: path,
  HOME: join(own, 'home'),
  TMPDIR: join(own, 'tmp'),
  LANG: 'C.UTF-8',
  CI: 'true',
  ...job.env,
  THRESH_OUTPUTS: join(job.workspace, 'outputs'),
  THRESH_ATTEMPT: keyOf(job.key),
  THRESH_MARK: nonce,
});

/** What to execute: a path and its arguments. @throws CannotRun */
async function argvOf(spec: Step, own: string, cwd: string, path: string, user: StepUser | undefined): Promise<string[]> {
  if (spec.script === undefined) {
    const [command, ...args] = [...(spec.command ?? []), ...(spec.args ?? [])];
    if (!spec.command?.length || command === undefined) throw new CannotRun('the step has neither a script nor a command');
    return [await findCommand(command, cwd, path, user), ...args];
  }
  const file = join(own, 'script');
  await writeFile(file, spec.script, { mode: 0o700, flag: 'wx' });
  if (user) await chown(file, user.uid, user.gid);
  if (!spec.script.startsWith('#!')) return [shell, '-e', file];
  await findCommand(file, cwd, path, user).catch((error: unknown) => {
    throw new CannotRun(messageOf(error).replace(`'${file}'`, 'the script'));
  });
  return [file];
}

/**
 * Waits for a line on descriptor 3, then becomes the step. So the step's pid is known, and in the journal, before anything of it
 * runs; and when the agent dies in between, nothing ever does.
 */
const gate = 'read -r go <&3 || exit 125; exec 3<&-; exec "$@"';

type Launch = {
  job: ExecutorJob;
  at: Progress;
  argv: string[];
  cwd: string;
  env: Record<string, string>;
  own: string;
  nonce: string;
  user: StepUser | undefined;
  drainMs: number;
};

async function runCommand(launch: Launch): Promise<Exit> {
  const { job, at, nonce } = launch;
  const pipe = await openOutputPipe(join(launch.own, 'output'), launch.user, job.output);
  let lostOutput: string | undefined;
  const output = pipe.done.catch((error: unknown) => {
    lostOutput = messageOf(error);
    ask(at, 'SIGKILL');
  });
  const step = await spawnGate(launch, pipe).finally(pipe.closeWriteEnd);
  at.leader = step.pid;
  const startTime = (await startTimeOf(step.pid)) ?? '';
  try {
    await job.handle({ kind: 'process', pid: step.pid, startTime, bootId: await bootId(), nonce });
    if (at.asked) killQuietly(-step.pid);
    else step.open();
  } catch (error) {
    killQuietly(-step.pid);
    await step.exited;
    throw error;
  }
  const exit = await step.exited;
  const family = { mark: markOf(nonce), startTime, leader: step.pid };
  await leaveGrace(at, family);
  at.ended = true;
  const { left } = await killFamily(family);
  pipe.finish(launch.drainMs);
  await output;
  if (lostOutput !== undefined) return { error: `its output could not be kept: ${lostOutput}` };
  return left ? { ...exit, note: 'some of its processes could not be killed' } : exit;
}

/**
 * A shell that is asked to end does so at once, also when what it was waiting for still tidies up: that keeps its grace until
 * `kill` is called.
 */
async function leaveGrace(at: Progress, family: Family): Promise<void> {
  for (let told = false; at.asked === 'SIGTERM'; told = true) {
    const members = await membersOf(family);
    if (members.length === 0) return;
    // The group has heard it already, and a second TERM means 'at once' to many programs.
    if (!told) for (const { pid, group } of members) if (group !== family.leader) killQuietly(pid, 'SIGTERM');
    await sleep(graceLookMs);
  }
}

const graceLookMs = 25;

const markOf = (nonce: string): string => `THRESH_MARK=${nonce}`;

type Gated = { pid: number; open: () => void; exited: Promise<{ exitCode: number; signal?: string }> };

/** The user is changed before the shell starts, which already sees the step's environment. */
async function spawnGate({ at, argv, cwd, env, user }: Launch, pipe: OutputPipe): Promise<Gated> {
  const setpriv = user ? await findSetpriv() : undefined;
  const child = spawn(shell, ['-c', gate, 'sh', ...(setpriv ? [setpriv, '--no-new-privs', '--'] : []), ...argv], {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', pipe.writeEnd, pipe.writeEnd, 'pipe'],
    // Groups are cleared along with it.
    ...(user ? { uid: user.uid, gid: user.gid } : {}),
  });
  const exited = exitOf(child).finally(() => {
    at.ended = at.asked === undefined;
  });
  const latch = child.stdio[3] as Writable;
  latch.on('error', () => {});
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
  return { pid, open: () => latch.end('go\n'), exited };
}

/** util-linux has it; without it the step's set-user-id programs still work, which a `process` executor's trusted jobs may. */
async function findSetpriv(): Promise<string | undefined> {
  for (const file of ['/usr/bin/setpriv', '/bin/setpriv'])
    if (
      await access(file, fsConstants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return file;
  return undefined;
}

const exitOf = (child: ChildProcess): Promise<{ exitCode: number; signal?: string }> =>
  new Promise((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal ? { exitCode: 128 + constants.signals[signal], signal } : { exitCode: code ?? 1 }),
    );
  });

/** The pid alone proves nothing: it must have begun when the step did, on the same boot. What it started is known by its mark. */
async function reapProcess(handle: Handle): Promise<boolean> {
  if (handle.kind !== 'process' || handle.bootId !== (await bootId())) return false;
  const isLeader = (await startTimeOf(handle.pid)) === handle.startTime;
  const { met } = await killFamily({
    mark: markOf(handle.nonce),
    startTime: handle.startTime,
    ...(isLeader ? { leader: handle.pid } : {}),
  });
  return met > 0 || isLeader;
}

/** Sends a signal to everything that a step has started, if it is still the same. */
export async function signalProcess(handle: Handle, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  if (handle.kind !== 'process' || handle.bootId !== (await bootId())) return;
  const isLeader = (await startTimeOf(handle.pid)) === handle.startTime;
  const leader = isLeader ? { leader: handle.pid } : {};
  const members = await membersOf({ mark: markOf(handle.nonce), startTime: handle.startTime, ...leader });
  for (const { pid } of members) killQuietly(pid, signal);
}

import type Docker from 'dockerode';
import type { Step } from '../../protocol/job.ts';
import { bytesText } from '../../protocol/quantity.ts';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';
import { CannotRun } from './command.ts';
import type { Exit } from './executor.ts';
import { defaultCapabilities, type NodePolicy } from './policy.ts';

/** Where a step finds its workspace, and the farm's script. */
export const workspaceAt = '/workspace';
export const scriptAt = '/thresh/script';
export const artifactsAt = '/thresh/artifacts';

/** Labels by which an agent knows its containers again. */
export const labels = { owner: 'thresh.owner', attempt: 'thresh.attempt' } as const;

/** More than any sane build has, and few enough that a fork bomb stays inside. */
const defaultPids = 4096;

/**
 * The engine keeps what the steps print until the container is removed, so that an agent that is started again misses nothing: in the
 * one format of its own that keeps every byte ('json-file' replaces what is not UTF-8). Of a step that prints more than twice this the
 * oldest is dropped; then a restart of the agent loses the attempt.
 */
export const keptLogBytes = 512 * 1024 * 1024;

export type ContainerFacts = {
  agent: string;
  owner: string;
  key: AttemptKey;
  spec: Step;
  policy: NodePolicy;
  image: string;
  /** What the image runs by itself. */
  own: { entrypoint: readonly string[]; cmd: readonly string[] };
  env: Record<string, string>;
  /** On the host. */
  workspace: string;
  /** On the host: where the step's own files go. */
  artifacts?: string | undefined;
  /** The step's directory, relative to the workspace; '' is the workspace. */
  workdir: string;
  /** On the host; present when the step has a script. */
  scriptFile?: string;
  /** As the engine calls it. */
  network: string;
};

export const containerName = ({ agent, key }: Pick<ContainerFacts, 'agent' | 'key'>): string =>
  `thresh-${agent}-${key.run}-${key.step}-${key.attempt}`;

/** What to ask the engine for. Nothing beyond the container is given that the step has not asked for. @throws CannotRun */
export function containerOptions(facts: ContainerFacts): Docker.ContainerCreateOptions {
  const { spec, policy, owner, key } = facts;
  const user = spec.user ?? policy.user;
  const program = programOf(facts);
  const { cpu, memoryBytes, pids } = { ...policy.limits, ...spec.resources };
  return {
    name: containerName(facts),
    Labels: { [labels.owner]: owner, [labels.attempt]: keyOf(key) },
    Image: facts.image,
    ...program.run,
    Env: Object.entries({
      ...baseEnv,
      ...facts.env,
      THRESH_OUTPUTS: `${workspaceAt}/outputs`,
      THRESH_ATTEMPT: keyOf(key),
      ...program.env,
    }).map(([name, value]) => `${name}=${value === facts.artifacts ? artifactsAt : value}`),
    WorkingDir: facts.workdir === '' ? workspaceAt : `${workspaceAt}/${facts.workdir}`,
    ...(user === undefined ? {} : { User: user }),
    AttachStdin: false,
    Tty: false,
    HostConfig: {
      // Reaps what is left behind, and lets a program that is not made to be process 1 die of TERM.
      Init: true,
      AutoRemove: false,
      RestartPolicy: { Name: 'no' },
      NetworkMode: facts.network,
      LogConfig: { Type: 'local', Config: { 'max-size': `${keptLogBytes}`, 'max-file': '2', compress: 'false' } },
      Mounts: [
        { Type: 'bind', Source: facts.workspace, Target: workspaceAt },
        ...(facts.scriptFile === undefined ? [] : [bind(facts.scriptFile, scriptAt, true)]),
        ...(facts.artifacts === undefined ? [] : [bind(facts.artifacts, artifactsAt, false)]),
        ...(spec.hostPaths ?? []).map((h) => bind(h.path, h.mount, h.readOnly)),
      ],
      PidsLimit: pids ?? defaultPids,
      ...(cpu === undefined ? {} : { NanoCpus: Math.max(1_000_000, Math.round(cpu * 1e9)) }),
      // As much swap as memory means none.
      ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
      ...(spec.privileged
        ? { Privileged: true }
        : {
            CapDrop: ['ALL'],
            CapAdd: [...new Set<string>([...defaultCapabilities, ...(spec.capabilities ?? [])])],
            SecurityOpt: ['no-new-privileges'],
          }),
    },
  };
}

/** The source was checked out by another user than most containers run as, and git reads no such tree unless it is told that it may. */
const baseEnv = {
  CI: 'true',
  GIT_CONFIG_COUNT: '1',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
};

const bind = (Source: string, Target: string, ReadOnly: boolean): Docker.MountSettings => ({
  Type: 'bind',
  Source,
  Target,
  ReadOnly,
});

type Program = { run: { Entrypoint?: string[]; Cmd?: string[] }; env: Record<string, string> };

function programOf({ spec, own, image }: ContainerFacts): Program {
  const { script, command = [], args = [] } = spec;
  if (script !== undefined) return scriptProgram(script);
  if (command.length > 0) return { run: { Entrypoint: command, Cmd: args }, env: {} };
  const cmd = args.length > 0 ? args : own.cmd;
  if (own.entrypoint.length + cmd.length === 0)
    throw new CannotRun(`the step has neither a script nor a command, and image '${image}' has no command of its own`);
  return { run: { Entrypoint: [...own.entrypoint], Cmd: [...cmd] }, env: {} };
}

/**
 * A shell that hears TERM does nothing about it before the command that it waits for has ended, so the whole group must hear it. The
 * init of Docker (tini) does that when a variable asks for it, which the script does not see.
 */
const scriptProgram = (script: string): Program =>
  script.startsWith('#!')
    ? { run: { Entrypoint: [scriptAt], Cmd: [] }, env: {} }
    : {
        run: { Entrypoint: ['/bin/sh', '-c', `unset TINI_KILL_PROCESS_GROUP; exec /bin/sh -e ${scriptAt}`], Cmd: [] },
        env: { TINI_KILL_PROCESS_GROUP: '1' },
      };

export type Ended = {
  exitCode: number;
  oomKilled: boolean;
  /** The last signal that it was sent by us. */
  asked?: 'SIGTERM' | 'SIGKILL';
  /** Someone else has sent it a signal: a person, or the engine that is being stopped. */
  signalled: boolean;
  /** The engine was away in the meantime. */
  engineWasAway: boolean;
  /** Of the container, in bytes; 0: none. */
  memoryLimit: number;
};

/** Whether it can be the end by TERM or KILL. */
export const isSignal = (exitCode: number): boolean => exitCode === codes.SIGTERM || exitCode === codes.SIGKILL;

const codes = { SIGTERM: 143, SIGKILL: 137 } as const;

/** What the end of a container means. Docker tells no signals: one is named only when it was ours, or the kernel's for want of memory. */
export function exitOf({ exitCode, oomKilled, asked, signalled, engineWasAway, memoryLimit }: Ended): Exit {
  const limit = memoryLimit > 0 ? ` (limit ${bytesText(memoryLimit)})` : '';
  if (oomKilled && exitCode !== 0)
    return { exitCode, ...(exitCode === codes.SIGKILL ? { signal: 'SIGKILL' } : {}), note: `out of memory${limit}` };
  const note = oomKilled ? { note: `one of its processes was killed: out of memory${limit}` } : {};
  if (asked === 'SIGKILL' && exitCode === codes.SIGKILL) return { exitCode, signal: 'SIGKILL', ...note };
  if (asked && exitCode === codes.SIGTERM) return { exitCode, signal: 'SIGTERM', ...note };
  // Stopping the engine stops its containers; when it was killed it does not know how they ended, and says 255.
  if (!asked && (engineWasAway || signalled) && (isSignal(exitCode) || exitCode === 255))
    return { lost: 'its container was stopped by someone else, or with the Docker Engine' };
  return { exitCode, ...note };
}

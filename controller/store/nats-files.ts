import { mkdir, readFile, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createCurve, createUser, fromCurveSeed, fromSeed, type KeyPair } from '@nats-io/nkeys';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { FarmError } from '../../protocol/errors.ts';
import { streams } from '../../protocol/streams.ts';
import { type AgentLogin, agentsConf, agentsFile, natsConfig } from './nats-config.ts';
import { isNewer, type ReloadDeps, reloadServer } from './nats-reload.ts';
import { failedWith, writeWhole } from './write-file.ts';

export type NatsFilesOptions = {
  serverName?: string;
  /** Default: loopback. */
  host?: string;
  /** Default: that of the last time, for agents know it; at first -1, which lets the server choose. */
  port?: number;
  /** Default -1. */
  monitorPort?: number;
  /** Bytes for all streams. Default: that of the last time; at first what they want, or 70 % of what is free when that is less. */
  maxFileStoreBytes?: number;
  syncAlways?: boolean;
};

export type NatsFiles = {
  dir: string;
  /** For `nats-server -c`. */
  config: string;
  pidFile: string;
  portsDir: string;
  /** What to `sync` after the streams are made. */
  storeDir: string;
  /** As configured; -1: the server chooses. */
  port: number;
  /** Seeds: secrets. */
  controllerSeed: string;
  operatorSeed: string;
  curveSeed: string;
};

/**
 * Everything that a server of the farm starts from, in a directory of its own. Keys are made once and kept, the configuration is
 * written anew, the agents are left as they are. The caller holds the directory's lock.
 * @throws FarmError BAD_SETTINGS when a key file holds no key, or the disk is too full to begin
 */
export async function writeNatsFiles(dir: string, options: NatsFilesOptions = {}): Promise<NatsFiles> {
  const at = natsPaths(dir);
  for (const path of [at.dir, at.portsDir]) await mkdir(path, { recursive: true, mode: 0o700 });
  const controller = await keptKey(join(at.dir, 'controller.seed'), createUser, fromSeed);
  const operator = await keptKey(join(at.dir, 'operator.seed'), createUser, fromSeed);
  const curve = await keptKey(join(at.dir, 'controller.curve'), createCurve, fromCurveSeed);
  const kept = await keptChoices(at, options);
  if ((await textOf(at.agents)) === undefined) await writeWhole(at.agents, agentsConf([]));
  const config = natsConfig({
    serverName: options.serverName ?? 'thresh',
    listen: { host: options.host ?? '127.0.0.1', port: kept.port },
    monitorPort: options.monitorPort ?? -1,
    // The server keeps its files in `jetstream` below this.
    storeDir: at.dir,
    pidFile: at.pidFile,
    portsDir: at.portsDir,
    controllerKey: controller.getPublicKey(),
    operatorKey: operator.getPublicKey(),
    maxFileStoreBytes: kept.maxFileStoreBytes,
    syncAlways: options.syncAlways ?? false,
  });
  if ((await textOf(at.config)) !== config) await writeWhole(at.config, config);
  return {
    dir: at.dir,
    config: at.config,
    pidFile: at.pidFile,
    portsDir: at.portsDir,
    storeDir: at.storeDir,
    port: kept.port,
    controllerSeed: seedOf(controller),
    operatorSeed: seedOf(operator),
    curveSeed: seedOf(curve),
  };
}

export type AgentsUpdate =
  /** The file said so already, and the server has read it or none runs here; nothing was done. */
  | 'unchanged'
  /** Written, and the server has taken it. */
  | 'reloaded'
  /** Written; no server runs on this directory, so the next one reads it at its start. */
  | 'written';

/**
 * Makes these agents, and no others, able to log in; the connections of those left out are closed. One call at a time for a directory,
 * or an older list could win.
 * @throws FarmError NATS_SERVER_FAILED when the running server does not take the file
 */
export async function updateAgentsConf(dir: string, agents: readonly AgentLogin[], deps?: ReloadDeps): Promise<AgentsUpdate> {
  const at = natsPaths(dir);
  const text = agentsConf(agents);
  const isSame = (await textOf(at.agents)) === text;
  // Who wrote it may have been killed before it told the server.
  if (isSame && !(await isNewer(at, at.agents))) return 'unchanged';
  if (!isSame) await writeWhole(at.agents, text);
  return (await reloadServer(at, deps)) ? 'reloaded' : 'written';
}

export const natsPaths = (dir: string) => {
  const whole = resolve(dir);
  return {
    dir: whole,
    config: join(whole, 'nats.conf'),
    agents: join(whole, agentsFile),
    pidFile: join(whole, 'nats.pid'),
    portsDir: join(whole, 'ports'),
    storeDir: join(whole, 'jetstream'),
    choices: join(whole, 'choices.json'),
  };
};

const Choices = Type.Object({
  port: Type.Integer({ minimum: -1, maximum: 65_535 }),
  maxFileStoreBytes: Type.Integer({ minimum: 1 }),
});

/** What was chosen once must stay: agents know the port, and streams do not fit into less than they have reserved. */
async function keptChoices(at: { dir: string; choices: string }, options: NatsFilesOptions): Promise<Static<typeof Choices>> {
  const text = await textOf(at.choices);
  const before = text === undefined ? undefined : parseChoices(at.choices, text);
  const after = {
    port: options.port ?? before?.port ?? -1,
    maxFileStoreBytes: Math.floor(options.maxFileStoreBytes ?? before?.maxFileStoreBytes ?? (await storeSize(at.dir))),
  };
  if (!isDeepStrictEqual(after, before)) await writeWhole(at.choices, `${JSON.stringify(after)}\n`);
  return after;
}

function parseChoices(path: string, text: string): Static<typeof Choices> {
  try {
    return Value.Parse(Choices, JSON.parse(text));
  } catch (error) {
    throw new FarmError(
      'BAD_SETTINGS',
      { problems: [`${path}: expected {"port", "maxFileStoreBytes"}; put the file back from a copy`] },
      { cause: error },
    );
  }
}

/** What the streams need at their smallest, and a little. */
const leastStoreBytes = 140 * 1024 ** 2;

async function storeSize(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  const wanted = streams.reduce((sum, s) => sum + s.maxBytes, 0);
  const size = Math.min(wanted, 0.7 * bavail * bsize);
  if (size >= leastStoreBytes) return size;
  const problem = `${dir}: expected ${leastStoreBytes / 0.7 / 1024 ** 2} MiB free for the streams; free some, or choose another directory with --data`;
  throw new FarmError('BAD_SETTINGS', { problems: [problem] });
}

async function keptKey(path: string, create: () => KeyPair, open: (seed: Uint8Array) => KeyPair): Promise<KeyPair> {
  const kept = await textOf(path);
  if (kept === undefined) {
    const made = create();
    await writeWhole(path, `${seedOf(made)}\n`);
    return made;
  }
  try {
    return open(Buffer.from(kept.trim()));
  } catch (error) {
    throw new FarmError(
      'BAD_SETTINGS',
      { problems: [`${path}: expected the seed of an nkey; put the file back from a copy`] },
      { cause: error },
    );
  }
}

const seedOf = (key: KeyPair): string => Buffer.from(key.getSeed()).toString('ascii');

/** undefined when there is no such file. */
export async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (failedWith(error, 'ENOENT')) return undefined;
    throw error;
  }
}

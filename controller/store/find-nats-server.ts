import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { FarmError } from '../../protocol/errors.ts';
import { versionAtLeast } from './nats-version.ts';

export type NatsBinary = { path: string; version: string };

export type FindOptions = {
  /** What the operator named: then nothing else is tried. */
  explicit?: string;
  /** The `PATH` of the environment. */
  searchPath: string;
  platform: NodeJS.Platform;
  /** Tried after the PATH: see nats-in-docker.ts. */
  inDocker?: () => Promise<string | undefined>;
};

/** Oldest that the farm was tried on. */
export const leastVersion = '2.9.10';

/** One way to come by a server; undefined when it leads to none. */
type Candidate = () => Promise<string | undefined>;

/**
 * The nats-server to start, the first of the candidates that runs.
 * @throws FarmError NO_NATS_SERVER with what to type; NATS_TOO_OLD
 */
export async function findNatsServer({ explicit, searchPath, platform, inDocker }: FindOptions): Promise<NatsBinary> {
  const candidates: Candidate[] = explicit
    ? [async () => explicit]
    : [() => onPath(searchPath, platform), ...(inDocker ? [inDocker] : [])];
  for (const candidate of candidates) {
    const path = await candidate();
    const version = path && (await versionOf(path));
    if (!path || !version) continue;
    if (!versionAtLeast(version, leastVersion))
      throw new FarmError('NATS_TOO_OLD', {
        version,
        need: leastVersion,
        why: `${path} is older than what the farm was tried with`,
      });
    return { path, version };
  }
  const hint = installHint(platform);
  throw new FarmError('NO_NATS_SERVER', { hint: explicit ? `${explicit} is none; correct the path, or ${hint}` : hint });
}

/** What to type on this system. */
export function installHint(platform: NodeJS.Platform): string {
  if (platform === 'darwin') return 'install it with: brew install nats-server';
  if (platform === 'win32')
    return (
      'install it with: winget install NATSAuthors.NATSServer (or: scoop install nats-server). ' +
      'On Windows itself only the controller runs; agents need Linux or macOS (WSL counts as Linux)'
    );
  if (platform === 'linux') return 'install it with: sudo apt-get install nats-server (or from https://nats.io/download)';
  return 'install it from https://nats.io/download';
}

async function onPath(searchPath: string, platform: NodeJS.Platform): Promise<string | undefined> {
  const name = platform === 'win32' ? 'nats-server.exe' : 'nats-server';
  for (const dir of searchPath.split(delimiter)) {
    // An empty part means the working directory, from which nothing is run by accident.
    if (dir === '') continue;
    const path = join(dir, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/** undefined when the file is no nats-server. */
async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 10_000 });
    return /^nats-server: v(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

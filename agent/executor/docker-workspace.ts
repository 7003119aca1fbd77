import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { HostPath } from '../../protocol/job.ts';
import { CannotRun } from './command.ts';

/** The policy names paths as they are written, so none may lead elsewhere. @throws CannotRun */
export async function checkHostPaths(paths: readonly HostPath[]): Promise<void> {
  for (const { path } of paths) {
    const real = await realpath(path).catch(() => undefined);
    if (real === undefined) throw new CannotRun(`host path '${path}' does not exist`);
    if (real !== path) throw new CannotRun(`host path '${path}' leads to ${real}; name that`);
  }
}

/** The directories that the agent itself has made in a workspace, each in the one before. */
const made = ['outputs', 'artifacts'];

/**
 * Gives the workspace to the user as whom the container runs: the directories that the agent has made, not what steps have put in.
 * Root needs nothing, and an agent that is not root can give nothing.
 * @param dirs the workspace, and others of the agent's for the step
 * @param user as the engine has it: '', '1000', '1000:1000', 'build'
 */
export async function giveWorkspace(dirs: readonly string[], container: Docker.Container, user: string): Promise<void> {
  if (process.getuid?.() !== 0 || user === '') return;
  const ids = await idsOf(container, user);
  if (ids && ids.uid !== 0) for (const dir of dirs) await give(dir, made, ids);
}

/** @param way further directories, each in the one before */
async function give(dir: string, [next, ...further]: readonly string[], ids: { uid: number; gid: number }): Promise<void> {
  // A step may have put a link in its place.
  const at = await openDir(dir).catch(() => undefined);
  try {
    await at?.chown(ids.uid, ids.gid);
    if (at && next !== undefined) await give(`/proc/self/fd/${at.fd}/${next}`, further, ids);
  } finally {
    await at?.close();
  }
}

const openDir = (path: string): Promise<FileHandle> =>
  open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);

async function idsOf(container: Docker.Container, user: string): Promise<{ uid: number; gid: number } | undefined> {
  const [name = '', group] = user.split(':', 2);
  const entry = (await passwdOf(container))
    .split('\n')
    .map((line) => line.split(':'))
    .find(([entryName, , uid]) => entryName === name || uid === name);
  const uid = Number(/^[0-9]+$/.test(name) ? name : entry?.[2]);
  const gid = Number(group !== undefined && /^[0-9]+$/.test(group) ? group : (entry?.[3] ?? 0));
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
}

const tarBlock = 512;
const mostPasswdBytes = 1024 * 1024;

/** The image's /etc/passwd: the engine hands it out as a tar of one file. '' when there is none. */
async function passwdOf(container: Docker.Container): Promise<string> {
  try {
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of (await container.getArchive({ path: '/etc/passwd' })) as Readable) {
      parts.push(part as Buffer);
      length += (part as Buffer).length;
      if (length > mostPasswdBytes) return '';
    }
    const tar = Buffer.concat(parts);
    const size = Number.parseInt(tar.toString('latin1', 124, 136), 8);
    return tar.toString('utf8', tarBlock, tarBlock + (Number.isInteger(size) ? size : 0));
  } catch {
    return '';
  }
}

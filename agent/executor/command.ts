import { constants } from 'node:fs';
import { access, open, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { StepUser } from './user.ts';

/** What cannot be run, and why: ends the step with outcome 'error'. */
export class CannotRun extends Error {
  override name = 'CannotRun';
}

/**
 * Where a step runs: its `workdir` inside the workspace, with every link on the way followed before it is judged.
 * @throws CannotRun when it is not there or leads out
 */
export async function workdirIn(workspace: string, workdir: string | undefined): Promise<string> {
  const root = await realpath(workspace).catch(() => undefined);
  if (!root) throw new CannotRun(`the workspace ${workspace} does not exist`);
  if (!workdir) return root;
  const outside = new CannotRun(`workdir '${workdir}' leads out of the workspace`);
  if (isAbsolute(workdir) || !isInside(root, resolve(root, workdir))) throw outside;
  const dir = await realpath(join(root, workdir)).catch(() => undefined);
  if (!dir) throw new CannotRun(`workdir '${workdir}' does not exist in the workspace`);
  if (!isInside(root, dir)) throw outside;
  if (!(await stat(dir)).isDirectory()) throw new CannotRun(`workdir '${workdir}' is not a directory`);
  return dir;
}

const isInside = (root: string, path: string): boolean => {
  const way = relative(root, path);
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way);
};

/**
 * The file that a command names, found as execvp(3) finds it, so that 'not found' is not mistaken for the step's own exit 127.
 * @param cwd where a relative path starts
 * @throws CannotRun
 */
export async function findCommand(command: string, cwd: string, path: string, user: StepUser | undefined): Promise<string> {
  if (command === '') throw new CannotRun('the command is empty');
  const places = command.includes('/') ? [resolve(cwd, command)] : path.split(':').map((dir) => resolve(cwd, dir, command));
  let seen: string | undefined;
  for (const place of places) {
    const what = await executability(place, user);
    if (what === 'yes') {
      await checkInterpreter(place, command, user);
      return place;
    }
    if (what === 'no') seen ??= place;
  }
  if (seen) throw new CannotRun(`'${command}' is not executable${user ? ` for user ${user.name}` : ''}`);
  throw new CannotRun(`'${command}' was not found${command.includes('/') ? '' : ' on the PATH'}`);
}

async function executability(file: string, user: StepUser | undefined): Promise<'yes' | 'no' | 'absent'> {
  const at = await stat(file).catch(() => undefined);
  if (!at) return 'absent';
  if (!at.isFile()) return 'no';
  if (user) return mayEnter(at, user) ? 'yes' : 'no';
  return access(file, constants.X_OK).then(
    () => 'yes',
    () => 'no',
  );
}

/** A file that opens with #! can only be run when what it names can. */
async function checkInterpreter(file: string, command: string, user: StepUser | undefined): Promise<void> {
  const interpreter = await shebangOf(file);
  if (!interpreter) return;
  const what = await executability(interpreter, user);
  if (what === 'absent') throw new CannotRun(`'${command}' asks for ${interpreter}, which is not there`);
  if (what === 'no') throw new CannotRun(`'${command}' asks for ${interpreter}, which is not executable`);
}

async function shebangOf(file: string): Promise<string | undefined> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (!handle) return undefined;
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(256), 0, 256, 0);
    const [, interpreter] = /^#![ \t]*(\/[^\s\0]+)\s/.exec(`${buffer.toString('latin1', 0, bytesRead)}\n`) ?? [];
    return interpreter;
  } finally {
    await handle.close();
  }
}

/** Whether the permission bits let the user execute a file, or pass through a directory. */
const mayEnter = (at: { mode: number; uid: number; gid: number }, user: StepUser): boolean =>
  user.uid === 0 || (at.mode & (at.uid === user.uid ? 0o100 : at.gid === user.gid ? 0o010 : 0o001)) !== 0;

/** @throws CannotRun naming the first directory on the way to `dir` that the user cannot pass */
export async function checkReachable(dir: string, user: StepUser): Promise<void> {
  const way: string[] = [];
  for (let at = dir; ; at = dirname(at)) {
    way.unshift(at);
    if (at === dirname(at)) break;
  }
  for (const at of way)
    if (!mayEnter(await stat(at), user))
      throw new CannotRun(`user ${user.name} cannot pass through ${at}: give it mode 0711, or keep workspaces elsewhere`);
}

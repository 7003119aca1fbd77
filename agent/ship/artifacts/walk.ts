import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { type artifactLimits, artifactPathProblem } from '../../../protocol/artifact.ts';
import { messageOf } from '../../../protocol/errors.ts';

export type WalkLimits = {
  [K in 'files' | 'totalBytes' | 'fileBytes' | 'depth' | 'entries']: (typeof artifactLimits)[K] | number;
};

export type Found = {
  /** Relative, with `/`; a good one (`artifactPathProblem`). */
  path: string;
  sizeBytes: number;
  /** The file itself, whatever its name leads to by now. Whoever takes it closes it. */
  file: FileHandle;
};

export type Walk = {
  limits: WalkLimits;
  /** The next file is looked for when it resolves. */
  take: (found: Found) => Promise<void>;
  /** Something that is not taken. @param path as far as it can be written */
  refuse: (path: string, why: string) => void;
  signal: AbortSignal;
};

/**
 * Goes through a directory that a step had in its hands, and that its other steps may still reach. Each directory and file is opened
 * without following links, starting at the opened directory above it (on Linux), and is what it was before it was opened: so
 * nothing outside is ever opened, whatever is moved or replaced meanwhile. A tree beyond the limits is not walked to its end.
 */
export async function walkArtifacts(root: string, walk: Walk): Promise<void> {
  const dir = await openDir(root).catch(() => undefined);
  if (!dir) return walk.refuse('.', 'the directory of artifacts is gone, or is none any more');
  const state: State = {
    ...walk,
    device: (await dir.handle.stat()).dev,
    owner: (await dir.handle.stat()).uid,
    files: 0,
    bytes: 0,
    entries: 0,
  };
  try {
    await walkDir(dir, '', 0, state);
  } catch (error) {
    if (!(error instanceof TooMany)) throw error;
    walk.refuse('…', error.message);
  } finally {
    await dir.handle.close();
  }
}

type State = Walk & { device: number; owner: number; files: number; bytes: number; entries: number };
type Dir = { handle: FileHandle; path: string };

/** The walk ends here. */
class TooMany extends Error {}

async function walkDir(dir: Dir, above: string, depth: number, state: State): Promise<void> {
  for (const { name, isFile } of await entriesOf(dir, state)) {
    state.signal.throwIfAborted();
    // What is no UTF-8 is shown with replacement characters, and refused.
    const text = name.toString('utf8');
    const path = above + text;
    if (!Buffer.from(text).equals(name)) state.refuse(path, 'its name is no UTF-8');
    else if (isFile && state.files >= state.limits.files) state.refuse(path, tooMany(state));
    else await lookAt(dir, name, path, depth, state);
  }
}

async function lookAt(dir: Dir, name: Buffer, path: string, depth: number, state: State): Promise<void> {
  const at = pathIn(dir, name);
  let before: Stats;
  try {
    before = await lstat(at);
  } catch (error) {
    return state.refuse(path, `it cannot be looked at (${codeOf(error)})`);
  }
  const problem = artifactPathProblem(path) ?? problemOf(before, state);
  if (problem) return state.refuse(path, problem);
  if (before.isDirectory()) {
    if (depth >= state.limits.depth) return state.refuse(path, `it lies more than ${state.limits.depth} directories deep`);
    const below = await openSame(dir, at, before, constants.O_DIRECTORY).catch((error: unknown) => error);
    if (!isHandle(below)) return state.refuse(path, `it cannot be opened (${codeOf(below)})`);
    try {
      return await walkDir({ handle: below, path: join(dir.path, name.toString('utf8')) }, `${path}/`, depth + 1, state);
    } finally {
      await below.close();
    }
  }
  const tooMuch = limitOf(before, state);
  if (tooMuch) return state.refuse(path, tooMuch);
  const file = await openSame(dir, at, before, constants.O_NONBLOCK | constants.O_NOCTTY).catch((error: unknown) => error);
  if (!isHandle(file)) return state.refuse(path, `it cannot be opened (${codeOf(file)})`);
  state.files += 1;
  state.bytes += before.size;
  await state.take({ path, sizeBytes: before.size, file });
}

function problemOf(found: Stats, { device, owner }: State): string | undefined {
  if (found.isSymbolicLink()) return 'it is a link; links are not followed';
  if (!found.isFile() && !found.isDirectory()) return 'it is no regular file';
  if (found.dev !== device) return 'it lies on another file system';
  if (found.isFile() && found.nlink > 1 && found.uid !== owner) return "it is another name of somebody else's file";
  return undefined;
}

const tooMany = ({ limits }: Pick<State, 'limits'>): string => `there are more than ${limits.files} files`;

function limitOf({ size }: Stats, { limits, files, bytes }: State): string | undefined {
  if (files >= limits.files) return tooMany({ limits });
  if (size > limits.fileBytes) return `it is larger than ${limits.fileBytes} bytes`;
  if (bytes + size > limits.totalBytes) return `all files together are larger than ${limits.totalBytes} bytes`;
  return undefined;
}

/** In order. As bytes: a name may be anything. */
async function entriesOf(dir: Dir, state: State): Promise<{ name: Buffer; isFile: boolean }[]> {
  const found: { name: Buffer; isFile: boolean }[] = [];
  for await (const entry of await opendir(selfPath(dir), { encoding: 'latin1', bufferSize: 1_000 })) {
    state.entries += 1;
    if (state.entries > state.limits.entries)
      throw new TooMany(`there are more than ${state.limits.entries} files and directories; the rest was not looked at`);
    found.push({ name: Buffer.from(entry.name, 'latin1'), isFile: entry.isFile() });
  }
  return found.sort((a, b) => Buffer.compare(a.name, b.name));
}

/** Linux finds an opened directory here, wherever it was moved to; elsewhere its path must do, and is compared after opening. */
const byHandle = process.platform === 'linux';
const selfPath = ({ handle, path }: Dir): string => (byHandle ? `/proc/self/fd/${handle.fd}` : path);
const pathIn = (dir: Dir, name: Buffer): Buffer => Buffer.concat([Buffer.from(`${selfPath(dir)}/`), name]);

async function openDir(path: string): Promise<Dir> {
  return { handle: await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW), path };
}

/** Opens what was looked at before, or nothing: also when another thing took its name meanwhile. */
async function openSame(dir: Dir, at: Buffer, before: Stats, flags: number): Promise<FileHandle> {
  const handle = await open(at, constants.O_RDONLY | constants.O_NOFOLLOW | flags);
  const same = sameAs(before, await handle.stat()) && (byHandle || (await stillThere(dir)));
  if (same) return handle;
  await handle.close();
  throw new Error('it was replaced while it was opened');
}

const sameAs = (a: Stats, b: Stats): boolean => a.dev === b.dev && a.ino === b.ino && a.mode === b.mode;

const stillThere = async ({ handle, path }: Dir): Promise<boolean> => sameAs(await handle.stat(), await lstat(path));

const isHandle = (value: unknown): value is FileHandle => typeof value === 'object' && value !== null && 'fd' in value;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : messageOf(error);

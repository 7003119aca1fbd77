import { createHash, randomBytes } from 'node:crypto';
import { constants, type Dirent } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, realpath, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { FarmError } from '../../protocol/errors.ts';
import { compareKeys, keyParts, prefixParts } from './object-key.ts';
import type { ObjectInfo, Objects } from './objects.ts';
import { failedWith, syncDir } from './write-file.ts';

/**
 * Objects as files below one directory, each under its own name, so that they can be looked at and copied by hand. Unlike in S3, a key
 * that goes on below another object's ('a' and 'a/b') is refused.
 * @param dir is made at the first use
 */
export function fileObjects(dir: string): Objects {
  const tree: Tree = { objects: join(resolve(dir), 'objects'), aside: join(resolve(dir), 'tmp') };
  let opened: Promise<string> | undefined;
  const root = () => {
    // A failed try is not kept: the disk may be mounted later.
    opened ??= prepare(tree).catch((error) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
  return {
    put: async (key, body) => {
      const parts = keyParts(key);
      await root();
      return put(tree, key, parts, body);
    },
    get: async (key) => {
      const file = await openObject(await root(), keyParts(key));
      if (!file) return undefined;
      try {
        return await file.readFile();
      } finally {
        await file.close();
      }
    },
    read: async (key, range = { start: 0 }) => {
      const file = await openObject(await root(), keyParts(key));
      if (!file) return undefined;
      const { start, end = Number.POSITIVE_INFINITY } = range;
      if (end > start) return file.createReadStream({ start, end: end - 1 });
      await file.close();
      return Readable.from([]);
    },
    copy: async (from, to) => {
      const [source, target] = [keyParts(from), keyParts(to)];
      await root();
      return copy(tree, source, to, target);
    },
    list: async function* (prefix, { after = '' } = {}) {
      const { parts, begin } = prefixParts(prefix);
      const top = join(await root(), ...parts);
      if (await isOwnDir(await root(), top)) yield* walk(top, parts.map((p) => `${p}/`).join(''), begin, after);
    },
    remove: async (key) => {
      const parts = keyParts(key);
      await remove(await root(), parts);
    },
  };
}

/** `aside` is on the same file system, and no key can name it. */
type Tree = { objects: string; aside: string };

/** A file that nobody has written to for so long, milliseconds, is what a crash left; younger ones may be another controller's. */
const leftoverMs = 10 * 60_000;

/** @returns the real path of the objects */
async function prepare(tree: Tree): Promise<string> {
  for (const path of [tree.objects, tree.aside]) await mkdir(path, { recursive: true, mode: 0o700 });
  for (const name of await readdir(tree.aside)) {
    const path = join(tree.aside, name);
    const found = await stat(path).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > leftoverMs) await rm(path, { recursive: true, force: true });
  }
  return realpath(tree.objects);
}

async function put(tree: Tree, key: string, parts: string[], body: Uint8Array | Readable) {
  const aside = join(tree.aside, randomBytes(12).toString('hex'));
  try {
    const written = await writeAside(aside, body);
    await moveIn(tree.objects, aside, key, parts);
    return written;
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

/** A second name for the same file: an object is replaced as a whole and never changed, so both stay what they are. */
async function copy(tree: Tree, source: string[], key: string, target: string[]): Promise<boolean> {
  const root = await realpath(tree.objects);
  const file = await openObject(root, source);
  if (!file) return false;
  const aside = join(tree.aside, randomBytes(12).toString('hex'));
  try {
    const linked = await link(join(root, ...source), aside).then(
      () => true,
      () => false,
    );
    // Not every file system has hard links.
    if (!linked) await writeAside(aside, file.createReadStream({ start: 0, autoClose: false }));
    await moveIn(tree.objects, aside, key, target);
    return true;
  } finally {
    await file.close();
    await rm(aside, { force: true });
  }
}

async function writeAside(path: string, body: Uint8Array | Readable): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const piece of body instanceof Uint8Array ? [body] : body) {
      const bytes: Uint8Array = typeof piece === 'string' ? Buffer.from(piece) : piece;
      hash.update(bytes);
      sizeBytes += bytes.length;
      await file.writeFile(bytes);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

/** `remove` may take an empty directory away in the moment between making it and using it. */
async function moveIn(root: string, aside: string, key: string, parts: string[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    const dir = await makeDirs(root, key, parts.slice(0, -1));
    try {
      await rename(aside, join(dir, parts.at(-1) ?? ''));
      return await syncDir(dir);
    } catch (error) {
      if (failedWith(error, 'EISDIR', 'ENOTEMPTY', 'EEXIST')) throw new FarmError('BAD_OBJECT_KEY', { key }, { cause: error });
      if (!failedWith(error, 'ENOENT') || tries === 10) throw error;
    }
  }
}

/** One by one, so that no link leads out of the tree. */
async function makeDirs(root: string, key: string, parts: string[]): Promise<string> {
  let dir = root;
  for (const part of parts) {
    const parent = dir;
    dir = join(parent, part);
    try {
      await mkdir(dir, { mode: 0o700 });
      await syncDir(parent);
    } catch (error) {
      if (failedWith(error, 'ENOENT')) return makeDirs(root, key, parts);
      if (!failedWith(error, 'EEXIST')) throw error;
      const found = await lstat(dir).catch(() => undefined);
      if (!found) return makeDirs(root, key, parts);
      if (!found.isDirectory()) throw new FarmError('BAD_OBJECT_KEY', { key }, { cause: error });
    }
  }
  return dir;
}

/** undefined when there is no such object; a link is none, wherever in the path it stands. */
async function openObject(root: string, parts: string[]): Promise<FileHandle | undefined> {
  const path = join(root, ...parts);
  if (!(await isOwnDir(root, dirname(path)))) return undefined;
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) return undefined;
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  return undefined;
}

/** Whether the directory is there and no link stands in its path below `root`, a real path itself. */
async function isOwnDir(root: string, dir: string): Promise<boolean> {
  try {
    return (await realpath(dir)) === dir && (dir === root || dir.startsWith(join(root, '/')));
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    throw error;
  }
}

/**
 * The objects below `dir` in the order of their whole keys; one directory at a time is in memory.
 * @param above the key that stands for `dir`, with a slash at its end
 * @param begin what the names in `dir` itself must begin with
 */
async function* walk(dir: string, above: string, begin: string, after: string): AsyncGenerator<ObjectInfo> {
  for (const { key, isDir } of await entries(dir, above, begin)) {
    const path = join(dir, key.slice(above.length).replace(/\/$/, ''));
    if (isDir) {
      if (after.startsWith(key) || compareKeys(key, after) > 0) yield* walk(path, key, '', after);
    } else if (after === '' || compareKeys(key, after) > 0) {
      const found = await lstat(path).catch(() => undefined);
      if (found?.isFile()) yield { key, sizeBytes: found.size, modifiedMs: Math.floor(found.mtimeMs) };
    }
  }
}

/** A directory is sorted with its slash: 'a-b' stands before 'a/b', and 'a0' behind. */
async function entries(dir: string, above: string, begin: string): Promise<{ key: string; isDir: boolean }[]> {
  let found: Dirent[];
  try {
    found = await readdir(dir, { withFileTypes: true });
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
  return found
    .filter((e) => e.name.startsWith(begin) && (e.isFile() || e.isDirectory()))
    .map((e) => ({ key: above + e.name + (e.isDirectory() ? '/' : ''), isDir: e.isDirectory() }))
    .sort((a, b) => compareKeys(a.key, b.key));
}

/** Takes the directories along that it leaves empty. */
async function remove(root: string, parts: string[]): Promise<void> {
  const path = join(root, ...parts);
  if (!(await isOwnDir(root, dirname(path)))) return;
  try {
    await unlink(path);
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ENOTDIR', 'EISDIR', 'EPERM')) return;
    throw error;
  }
  for (let dir = dirname(path); dir !== root; dir = dirname(dir)) {
    try {
      await rmdir(dir);
    } catch {
      return syncDir(dir).catch(() => {});
    }
  }
  await syncDir(root);
}

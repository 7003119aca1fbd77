import { execFile } from 'node:child_process';
import { openAsBlob } from 'node:fs';
import { copyFile, lstat, mkdtemp, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../protocol/errors.ts';
import { type Here, maxSourceBytes, sourceRef } from '../../protocol/source.ts';
import { uploadedAnswer } from './answers.ts';
import type { Work } from './cli.ts';
import { usage } from './exit.ts';
import type { Env } from './terminal.ts';
import { plain } from './text.ts';

export type Packed = Omit<Here, 'upload'> & { file: string; sizeBytes: number } & AsyncDisposable;
type Where = { cwd: string; env: Env; signal?: AbortSignal; maxBytes?: number };

/** Sends the working tree in which the command was called to the farm. */
export async function sendHere(where: Where, w: Work): Promise<Here> {
  await using packed = await packHere({ ...where, signal: w.signal });
  const { org, repo, sha, baseRef, sizeBytes } = packed;
  w.err.line(w.err.paint('dim', `sending the working tree '${plain(repo ?? '')}' (${sizeBytes} bytes)`));
  const { upload } = await w.farm.upload(['api', 'uploads'], await openAsBlob(packed.file), uploadedAnswer);
  return { upload, sha, ...(org ? { org } : {}), ...(repo ? { repo } : {}), baseRef };
}

/**
 * Makes a bundle of the working tree as it is: what git tracks, and what is new and not ignored, in one commit without parents. Index and
 * objects are its own, so that nothing in the repository changes.
 * @throws FarmError BAD_USAGE
 */
export async function packHere({ cwd, env, signal, maxBytes = maxSourceBytes }: Where): Promise<Packed> {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-here-'));
  const dispose = () => rm(dir, { recursive: true, force: true });
  const git = async (args: readonly string[], more: Env = {}, at = cwd): Promise<string> => {
    const all = { ...env, ...safe, ...more };
    const { stdout } = await promisify(execFile)('git', args, { cwd: at, env: all, signal, maxBuffer: 64 * 1024 ** 2 });
    return stdout.trimEnd();
  };
  try {
    const top = await git(['rev-parse', '--show-toplevel']).catch((error: unknown) => {
      throw usage(`--here wants a git checkout: ${reasonOf(error)}`);
    });
    const [index = '', objects = '', format = ''] = (
      await git(['rev-parse', '--path-format=absolute', '--git-path', 'index', '--git-path', 'objects', '--show-object-format'])
    ).split('\n');
    const own = { repo: join(dir, 'repo'), index: join(dir, 'index'), file: join(dir, 'source.bundle') };
    await git(['init', '--quiet', '--bare', '--template=', `--object-format=${format}`, own.repo], noRepository, dir);
    await copyIndex(index, own.index);
    const apart = {
      GIT_INDEX_FILE: own.index,
      GIT_OBJECT_DIRECTORY: join(own.repo, 'objects'),
      GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(objects),
    };
    const fresh = await git(
      [...quietly, 'ls-files', '-z', '--modified', '--others', '--exclude-standard', '--', '.', notOurs],
      apart,
      top,
    );
    await demandSize(top, fresh.split('\0'), maxBytes * mostFreshTimes);
    await git([...quietly, 'add', '--all', '--', '.', notOurs], apart, top);
    const tree = await git([...quietly, 'write-tree'], apart, top);
    const inOwn = { ...noRepository, ...apart, GIT_DIR: own.repo };
    const sha = await git(['commit-tree', tree, '-m', 'The working tree of thresh run --here'], { ...inOwn, ...author }, dir);
    await git(['update-ref', sourceRef, sha], inOwn, dir);
    await git(['bundle', 'create', '--quiet', own.file, sourceRef], inOwn, dir);
    const { size: sizeBytes } = await stat(own.file);
    if (sizeBytes > maxBytes)
      throw usage(
        `--here: the working tree is ${sizeBytes} bytes packed, more than ${maxBytes}; let .gitignore name what need not be sent`,
      );
    const branch = await git(['symbolic-ref', '--quiet', '--short', 'HEAD']).catch(() => '');
    const names = { org: 'local', repo: nameOf(top), baseRef: branch || 'here' };
    return { ...names, sha, file: own.file, sizeBytes, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    signal?.throwIfAborted();
    if (error instanceof Error && 'stderr' in error) throw usage(`--here: ${reasonOf(error)}`);
    throw error;
  }
}

const safe = { GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
const noRepository = {
  GIT_DIR: undefined,
  GIT_WORK_TREE: undefined,
  GIT_COMMON_DIR: undefined,
  GIT_INDEX_FILE: undefined,
  GIT_OBJECT_DIRECTORY: undefined,
};
/** Nothing is written beside the index, and nobody is started to watch. */
const quietly = ['-c', 'core.splitIndex=false', '-c', 'core.fsmonitor=false', '-c', 'advice.addEmbeddedRepo=false'];
/** Files may be packed to a fraction of their size. */
const mostFreshTimes = 4;
/** The data of a farm that was started here, with its tokens. */
const notOurs = ':(exclude,glob)**/.thresh/**';
const author = {
  GIT_AUTHOR_NAME: 'Thresh',
  GIT_AUTHOR_EMAIL: 'thresh@localhost',
  GIT_COMMITTER_NAME: 'Thresh',
  GIT_COMMITTER_EMAIL: 'thresh@localhost',
};

/** The repository's own says what is tracked although it is ignored, and spares reading what has not changed. */
async function copyIndex(from: string, to: string): Promise<void> {
  const found = await stat(from).catch(() => undefined);
  if (!found) return;
  await copyFile(from, to);
  // git compares this time with that of each file: a later one would hide a change made just after the index was written.
  const seconds = Math.floor(found.mtimeMs / 1_000);
  await utimes(to, seconds, seconds);
}

/** Before they are copied: what is changed or new is not even packed when it is far too much. @throws FarmError BAD_USAGE */
async function demandSize(top: string, paths: readonly string[], maxBytes: number): Promise<void> {
  let total = 0;
  let biggest = { path: '', bytes: -1 };
  for (const path of paths) {
    const bytes = path === '' ? 0 : ((await lstat(join(top, path)).catch(() => undefined))?.size ?? 0);
    total += bytes;
    if (bytes > biggest.bytes) biggest = { path, bytes };
  }
  if (total > maxBytes)
    throw usage(
      `--here: what is changed or new has ${total} bytes, more than ${maxBytes} (the biggest is ${plain(biggest.path)}); let .gitignore name what need not be sent`,
    );
}

/** A name that may be a directory of a workspace. */
const nameOf = (top: string): string =>
  basename(top)
    .replaceAll(/[^A-Za-z0-9_.+~@-]/g, '-')
    .replace(/^[.+~@-]+/, '')
    .slice(0, 100) || 'source';

/** git's own words. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'git is not installed';
  const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n') : [];
  const line = said.findLast((text) => /^(fatal|error)/.test(text)) ?? said.at(-1);
  return plain(line || messageOf(error));
}

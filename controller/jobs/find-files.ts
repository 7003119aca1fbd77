import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import type { Problem } from '../../protocol/job.ts';
import { type Ignores, readProwIgnore } from './prow-ignore.ts';

/** `path`: from the job directory, with '/'. `stamp`: changes when the file does. */
export type FoundFile = { path: string; sizeBytes: number; stamp: string };
/** `directories`: absolute paths of all that were looked into, with a stamp that changes when another one takes the place. */
export type FoundFiles = { files: FoundFile[]; directories: { path: string; stamp: string }[]; problems: Problem[] };

const maxEntries = 200_000;

/**
 * The job files under `dir`, sorted. Never throws. Entries that begin with '..' are Kubernetes' own in a mounted ConfigMap and are left
 * out; links to directories are not followed, since what they lead to inside the tree is found there; `.prowignore` is heeded.
 */
export async function findFiles(dir: string, { maxFiles }: { maxFiles: number }): Promise<FoundFiles> {
  const found: FoundFiles = { files: [], directories: [], problems: [] };
  try {
    const root = await realpath(dir);
    await new Walk(root, maxFiles, found).enter('', []);
  } catch (error) {
    found.problems.push({
      file: dir,
      message: `the job directory cannot be read: ${codeOf(error)}; check the path and its permissions`,
    });
  }
  found.files.sort((a, b) => (a.path < b.path ? -1 : 1));
  if (found.files.length > maxFiles)
    found.problems.push({ file: dir, message: `there are more than ${maxFiles} job files; remove some` });
  found.problems.push(...sameNames(found.files));
  return found;
}

class Walk {
  readonly #root: string;
  readonly #maxFiles: number;
  readonly #found: FoundFiles;
  #entries = 0;
  constructor(root: string, maxFiles: number, found: FoundFiles) {
    this.#root = root;
    this.#maxFiles = maxFiles;
    this.#found = found;
  }

  async enter(path: string, above: { at: string; ignores: Ignores }[]): Promise<void> {
    const absolute = join(this.#root, path);
    const { ino, dev } = await stat(absolute);
    this.#found.directories.push({ path: absolute, stamp: `${dev} ${ino}` });
    const entries = await readdir(absolute, { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    const own = entries.some((e) => e.name === '.prowignore') ? [{ at: path, ignores: await this.#prowIgnore(path) }] : [];
    const rules = [...above, ...own];
    for (const entry of entries) {
      if (++this.#entries > maxEntries || this.#found.files.length > this.#maxFiles) return;
      const child = path ? `${path}/${entry.name}` : entry.name;
      const isDirectory = entry.isDirectory();
      if (entry.name.startsWith('..') || rules.some((r) => r.ignores(r.at ? child.slice(r.at.length + 1) : child, isDirectory)))
        continue;
      if (isDirectory) await this.enter(child, rules);
      else if (entry.isSymbolicLink() || isJobFile(entry.name)) await this.#file(child, entry.isSymbolicLink());
    }
  }

  async #file(path: string, isLink: boolean): Promise<void> {
    const absolute = join(this.#root, path);
    try {
      const target = isLink ? await realpath(absolute) : absolute;
      if (isLink && target !== this.#root && !target.startsWith(this.#root + sep)) {
        this.#found.problems.push({ file: path, message: 'this link leads out of the job directory; put the file itself here' });
        return;
      }
      const { size, mtimeMs, ino } = await stat(target);
      const isFile = (await lstat(target)).isFile();
      if (!isJobFile(path)) return;
      if (isFile) this.#found.files.push({ path, sizeBytes: size, stamp: `${size} ${mtimeMs} ${ino} ${target}` });
      else if (!isLink) this.#found.problems.push({ file: path, message: 'this is not a regular file; remove or rename it' });
    } catch (error) {
      this.#found.problems.push({
        file: path,
        message: `cannot be read: ${codeOf(error)}; check its permissions and, if it is a link, its target`,
      });
    }
  }

  async #prowIgnore(path: string): Promise<Ignores> {
    const file = join(this.#root, path, '.prowignore');
    const { size } = await stat(file);
    return size > 100_000 ? () => false : readProwIgnore(await readFile(file, 'utf8'));
  }
}

const isJobFile = (name: string): boolean => /\.ya?ml$/.test(name);

/** Prow keeps job files in ConfigMaps, whose keys are base names. */
function sameNames(files: FoundFile[]): Problem[] {
  const first = new Map<string, string>();
  return files.flatMap(({ path }) => {
    const name = basename(path);
    const other = first.get(name);
    if (other === undefined) first.set(name, path);
    return other === undefined ? [] : [{ file: path, message: `${other} has the same base name; rename one of them` }];
  });
}

/** The system's code of an error (ENOENT, EACCES...), or its message. */
export const codeOf = (error: unknown): string =>
  error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);

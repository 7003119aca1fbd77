import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import type { Job, JobConfig, Problem } from '../../protocol/job.ts';
import { combine } from './combine.ts';
import { codeOf, type FoundFile, findFiles } from './find-files.ts';
import { jobsHash } from './hash.ts';
import { readAside } from './read-aside.ts';
import type { FileJobs } from './read-file.ts';
import { maxFileBytes } from './read-yaml.ts';

/** `config` is there only when nothing is wrong. `files`: how many were read. */
export type Loaded = { config?: JobConfig; problems: Problem[]; files: number };

export type LoadOptions = {
  maxFiles?: number;
  maxFileBytes?: number;
  /** What files said when they were last read, by the SHA-256 of path and content: kept by the caller between two loads. */
  cache?: Map<string, FileJobs>;
};

const maxTotalBytes = 128 * 1024 * 1024;
const maxProblems = 1_000;

/**
 * Loads all job files under `dir` and reports every problem of every file at once, sorted by place. Never throws. Other
 * work goes on between two files, and big ones are read in a thread of their own.
 */
export async function loadJobs(dir: string, options: LoadOptions = {}): Promise<Loaded> {
  const found = await findFiles(dir, { maxFiles: options.maxFiles ?? 10_000 });
  const problems = found.problems;
  const files = await readAll(dir, found.files, options, problems);
  const combined = combine(files);
  const all = sorted([...problems, ...combined.problems]);
  if (all.length > 0) return { problems: all, files: files.length };
  return { config: toConfig(combined.jobs), problems: [], files: files.length };
}

export const toConfig = (jobs: Job[]): JobConfig => ({ hash: jobsHash(jobs), jobs });

async function readAll(dir: string, found: FoundFile[], options: LoadOptions, problems: Problem[]): Promise<FileJobs[]> {
  const limit = options.maxFileBytes ?? maxFileBytes;
  const fresh = new Map<string, FileJobs>();
  const files: FileJobs[] = [];
  let totalBytes = 0;
  for (const { path } of found) {
    await breathe();
    const read = await readText(join(dir, path), limit);
    if ('problem' in read) {
      problems.push({ file: path, message: read.problem });
      continue;
    }
    totalBytes += read.text.length;
    if (totalBytes > maxTotalBytes) {
      problems.push({
        file: path,
        message: `all job files together have more than ${maxTotalBytes / 1024 / 1024} MiB; remove some`,
      });
      break;
    }
    const key = createHash('sha256').update(path).update('\0').update(read.text).digest('hex');
    const said = options.cache?.get(key) ?? (await readAside(path, read.text));
    fresh.set(key, said);
    files.push(said);
  }
  if (options.cache) {
    options.cache.clear();
    for (const [key, said] of fresh) options.cache.set(key, said);
  }
  return files;
}

async function readText(file: string, limit: number): Promise<{ text: string } | { problem: string }> {
  try {
    await using handle = await open(file, 'r');
    const { size } = await handle.stat();
    // One byte more tells that the file has grown since.
    const buffer = Buffer.alloc(Math.min(size, limit) + 1);
    let bytesRead = 0;
    for (let more = 1; more > 0 && bytesRead < buffer.length; bytesRead += more)
      more = (await handle.read(buffer, bytesRead, buffer.length - bytesRead, bytesRead)).bytesRead;
    if (size > limit || bytesRead > limit)
      return {
        problem: `the file has ${size} bytes; at most ${limit} (${Math.floor(limit / 1024 / 1024)} MiB) are read, so split it`,
      };
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, bytesRead)) };
  } catch (error) {
    if (codeOf(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      return { problem: 'the file is not text in UTF-8; save it as UTF-8, and unpack it if it is compressed' };
    return { problem: `cannot be read: ${codeOf(error)}; check its permissions` };
  }
}

/** By place; what an alias or a preset repeats at one place is said once. */
function sorted(problems: Problem[]): Problem[] {
  const byPlace = new Map(problems.map((p) => [JSON.stringify([p.file, p.line, p.column, p.message]), p]));
  const all = [...byPlace.values()].sort(
    (a, b) =>
      (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  if (all.length <= maxProblems) return all;
  const last = all[maxProblems - 1];
  const more = { file: last?.file ?? '', message: `${all.length - maxProblems} more problems are not shown; mend these first` };
  return [...all.slice(0, maxProblems), more];
}

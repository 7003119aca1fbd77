import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type FileJobs, readFileJobs } from './read-file.ts';

/** Below this a file is read in a few hundredths of a second, and a thread would only cost. */
const asideFromLength = 400_000;
/** Kubernetes' biggest file takes two seconds. */
const maxReadMs = 60_000;

/** Reads a job file; a big one in a thread of its own, since a leader that stands still for seconds loses its leadership. Never throws. */
export async function readAside(name: string, text: string): Promise<FileJobs> {
  if (text.length < asideFromLength) return readFileJobs(name, text);
  const said = await inThread(name, text);
  // Where no thread can be had (memory, a bundled program) the file is read here.
  return said ?? readFileJobs(name, text);
}

async function inThread(name: string, text: string): Promise<FileJobs | undefined> {
  const { promise, resolve } = Promise.withResolvers<FileJobs | undefined>();
  let worker: Worker;
  try {
    const body = new URL(`./read-file-worker${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
    worker = new Worker(body, { workerData: { name, text } });
  } catch {
    return undefined;
  }
  const message = `reading takes longer than ${maxReadMs / 1000} s; split the file`;
  const late = setTimeout(
    () => resolve({ jobs: [], presets: [], repositories: [], problems: [{ file: name, message }] }),
    maxReadMs,
  );
  worker.once('message', resolve);
  worker.once('error', () => resolve(undefined));
  worker.once('exit', () => resolve(undefined));
  const said = await promise;
  clearTimeout(late);
  await worker.terminate();
  return said;
}

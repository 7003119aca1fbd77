import { parentPort, workerData } from 'node:worker_threads';
import { readFileJobs } from './read-file.ts';

/** The body of the thread that read-aside.ts starts. */
const { name, text } = workerData as { name: string; text: string };
parentPort?.postMessage(readFileJobs(name, text));

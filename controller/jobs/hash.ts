import { createHash } from 'node:crypto';
import type { Job } from '../../protocol/job.ts';

/** Jobs as they are stored under `config/<hash>`: JSON with the keys of each object in order, so that equal jobs make equal bytes. */
export const jobsText = (jobs: readonly Job[]): string => JSON.stringify(jobs, (_, value: unknown) => inKeyOrder(value));

/** SHA-256 of `jobsText`, hexadecimal. */
export const jobsHash = (jobs: readonly Job[]): string => createHash('sha256').update(jobsText(jobs)).digest('hex');

function inKeyOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

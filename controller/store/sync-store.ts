import { execFile } from 'node:child_process';

/**
 * Brings everything that was written to the file system of `dir` to the disk (`sync -f`, some 10 to 90 ms): a nats-server below 2.10 has
 * no setting for it, and a new stream's metadata is otherwise lost in a power cut. Where there is no such command nothing happens.
 * @returns whether it was done
 */
export const syncStore = (dir: string): Promise<boolean> =>
  new Promise((resolve) => execFile('sync', ['-f', dir], { timeout: 30_000 }, (error) => resolve(error === null)));

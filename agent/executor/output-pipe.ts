import { execFile } from 'node:child_process';
import { closeSync, constants, fchownSync, openSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import type { StepUser } from './user.ts';

/** More than any pipe holds: what comes after so much was written by something that should be dead. */
const mostLeftBytes = 2 * 1024 * 1024;

export type OutputPipe = {
  /** Descriptor for the step's stdout and stderr. */
  writeEnd: number;
  /** To be called once the step has it, or the pipe would never end. */
  closeWriteEnd: () => void;
  /** When the last writer has closed it, or `finish` gave up waiting. Rejects when `output` does, and nothing is read any more. */
  done: Promise<void>;
  /** Everyone who should write is dead: takes what still stands in the pipe, then waits for nobody who keeps it open. */
  finish: (idleMs: number) => void;
};

/**
 * A real pipe for both streams, read no faster than `output` takes it. (Node's own 'pipe' would be a socket for each: their order
 * would be lost, and writing to /dev/stderr fails on a socket.)
 * @param path where a FIFO can be made; it is gone again when this returns
 * @param user who must be able to open /dev/stdout and /dev/stderr
 */
export async function openOutputPipe(
  path: string,
  user: StepUser | undefined,
  output: (bytes: Buffer) => Promise<void> | void,
): Promise<OutputPipe> {
  await promisify(execFile)('mkfifo', ['-m', '600', path]);
  // Opening a FIFO that has a reader, or without waiting for a writer, takes no time: no need for the thread pool.
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const socket = new Socket({ fd: readEnd, readable: true, writable: false });
  const writeEnd = openSync(path, constants.O_WRONLY);
  if (user) fchownSync(writeEnd, user.uid, user.gid);
  await unlink(path);

  let left = Number.POSITIVE_INFINITY;
  let taking = false;
  let idle: NodeJS.Timeout | undefined;
  let idleMs = 0;
  const giveUp = () => socket.destroy();
  const watch = () => {
    clearTimeout(idle);
    if (left !== Number.POSITIVE_INFINITY && !taking) idle = setTimeout(giveUp, idleMs);
  };

  const pump = async () => {
    try {
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        taking = true;
        watch();
        const bytes = chunk.subarray(0, left);
        left -= bytes.length;
        await output(bytes);
        taking = false;
        if (left <= 0) break;
        watch();
      }
    } catch (error) {
      // destroyed by giveUp: an end like any other
      if (!isPrematureClose(error) || taking) throw error;
    } finally {
      taking = true;
      clearTimeout(idle);
      socket.destroy();
    }
  };
  return {
    writeEnd,
    closeWriteEnd: () => closeSync(writeEnd),
    done: pump(),
    finish: (ms) => {
      left = mostLeftBytes;
      idleMs = ms;
      watch();
    },
  };
}

const isPrematureClose = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';

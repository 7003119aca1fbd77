import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../../protocol/errors.ts';
import type { Log } from './log.ts';

/** A directory whose file system must not become full. */
export type WatchedDisk = { name: string; dir: string };
export type DiskSpace = { totalBytes: number; freeBytes: number };
export type DiskState = DiskSpace & {
  name: string;
  /** Below this it is full; it is so until a quarter more is free. */
  leastFreeBytes: number;
  full: boolean;
};

export type DiskWatchDeps = {
  disks: readonly WatchedDisk[];
  /** Free space at which nothing new is accepted. Default: 1 GiB or 5 % of the file system, whichever is more. 0: never. */
  leastFreeBytes?: number | undefined;
  log: Log;
  /** Of the file system of `dir`, or of the nearest directory above it that is there. */
  spaceOf?: (dir: string) => Promise<DiskSpace>;
  everyMs?: number;
};

export type DiskWatch = {
  /** Why nothing new can be accepted; undefined: it can. */
  problem: () => string | undefined;
  disks: () => readonly DiskState[];
  look: () => Promise<void>;
  stop: () => void;
};

const gib = 1024 ** 3;
const reopenAt = 1.25;
const everyMs = 2_000;

/**
 * Watches free space, so that the farm stops accepting before its store is full: a nats-server whose disk is full hangs (2.9.10) or refuses
 * even what would free space. Has looked once when it resolves. A disk that cannot be asked counts as it was.
 */
export async function watchDisks(deps: DiskWatchDeps): Promise<DiskWatch> {
  const { disks, log, spaceOf = spaceOfFileSystem } = deps;
  const states = new Map<string, DiskState>();
  let unreadable = new Set<string>();

  const lookAt = async ({ name, dir }: WatchedDisk) => {
    const space = await spaceOf(dir);
    const leastFreeBytes = deps.leastFreeBytes ?? Math.max(gib, Math.floor(space.totalBytes * 0.05));
    const wasFull = states.get(name)?.full === true;
    const full = space.freeBytes < leastFreeBytes * (wasFull ? reopenAt : 1);
    states.set(name, { name, ...space, leastFreeBytes, full });
    const facts = { disk: name, dir, freeBytes: space.freeBytes, leastFreeBytes };
    if (full && !wasFull) log.error(facts, 'the disk is nearly full: nothing new is accepted until there is room');
    else if (!full && wasFull) log.info(facts, 'the disk has room again: deliveries are accepted');
  };
  const look = async () => {
    const failed = new Set<string>();
    for (const disk of disks)
      await lookAt(disk).catch((error: unknown) => {
        failed.add(disk.name);
        if (!unreadable.has(disk.name)) log.warn({ disk: disk.name, reason: messageOf(error) }, 'free space cannot be read');
      });
    unreadable = failed;
  };

  await look();
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  }, deps.everyMs ?? everyMs);
  timer.unref();
  return {
    problem: () => {
      const full = [...states.values()].find((s) => s.full);
      return full && `the disk of ${full.name} is nearly full: ${mib(full.freeBytes)} free, ${mib(full.leastFreeBytes)} needed`;
    },
    disks: () => [...states.values()],
    look,
    stop: () => clearInterval(timer),
  };
}

const mib = (bytes: number): string => `${Math.floor(bytes / 1024 ** 2)} MiB`;

async function spaceOfFileSystem(dir: string): Promise<DiskSpace> {
  try {
    const { blocks, bavail, bsize } = await statfs(dir);
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
  } catch (error) {
    // Made at its first use.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(dir) !== dir) return spaceOfFileSystem(dirname(dir));
    throw error;
  }
}

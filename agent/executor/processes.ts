import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** What Linux tells about a process in /proc/PID/stat; see proc(5). */
export type ProcessStat = { pid: number; state: string; parent: number; group: number; session: number; startTime: string };

/** @param stat the line of /proc/PID/stat; the name in it may hold blanks and brackets, so fields count from the last bracket */
export function parseStat(stat: string): ProcessStat | undefined {
  const pid = Number.parseInt(stat, 10);
  const [state, parent, group, session, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = rest[15];
  if (!Number.isInteger(pid) || !state || !startTime) return undefined;
  return { pid, state, parent: Number(parent), group: Number(group), session: Number(session), startTime };
}

const statOf = async (pid: number): Promise<ProcessStat | undefined> =>
  parseStat(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ''));

const hasProc = process.platform === 'linux';

/** When the process began, in whatever form the system tells it; undefined when there is none or it is only waiting to be reaped. */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  if (hasProc) {
    const stat = await statOf(pid);
    return stat && isAlive(stat) ? stat.startTime : undefined;
  }
  const out = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return out.stdout.trim() || undefined;
}

/** Changes with every boot; 'unknown' where the system does not tell, and start times must do. */
export const bootId = async (): Promise<string> =>
  (await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => 'unknown')).trim();

const isAlive = (stat: ProcessStat): boolean => stat.state !== 'Z' && stat.state !== 'X';

/** What belongs to a step: what has its mark in the environment, what is in its leader's session, and the children of these. */
export type Family = {
  /** `NAME=value` */
  mark: string;
  /** When its leader began: what is older belongs to someone else, and need not be read. */
  startTime: string;
  /** Absent when the leader's pid may by now belong to someone else. */
  leader?: number;
};

/** The members that are alive, except this process. Linux only; elsewhere none are found. */
export async function membersOf(family: Family): Promise<ProcessStat[]> {
  if (!hasProc) return [];
  const pids = (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid) && pid > 1 && pid !== process.pid);
  const stats: ProcessStat[] = [];
  const members = new Set<number>();
  for (const pid of pids) {
    const stat = await statOf(pid);
    if (!stat || !isAlive(stat) || Number(stat.startTime) < Number(family.startTime)) continue;
    stats.push(stat);
    if (stat.session === family.leader || (await hasMark(pid, family.mark))) members.add(pid);
  }
  for (let before = -1; before !== members.size; ) {
    before = members.size;
    for (const stat of stats) if (members.has(stat.parent)) members.add(stat.pid);
  }
  return stats.filter((stat) => members.has(stat.pid));
}

async function hasMark(pid: number, mark: string): Promise<boolean> {
  const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  return `\0${environ}`.includes(`\0${mark}\0`);
}

/** Two looks without a member in a row: one could miss a process that is forked by another that ends while we look. */
const quietLooks = 2;

/**
 * Kills a family until nothing of it is left. What has both cleared its environment and lost its parent before we look is not found.
 * @param deadlineMs how long to try; a process in an uninterruptible wait, or of another user, stays
 * @returns how many were met, and whether some are still there
 */
export async function killFamily(family: Family, deadlineMs = 5_000): Promise<{ met: number; left: boolean }> {
  const met = new Set<number>();
  if (family.leader) killQuietly(-family.leader);
  const until = performance.now() + deadlineMs;
  for (let quiet = 0; ; ) {
    const members = await membersOf(family);
    quiet = members.length === 0 ? quiet + 1 : 0;
    if (quiet >= quietLooks) return { met: met.size, left: false };
    if (performance.now() > until) return { met: met.size, left: members.length > 0 };
    for (const { pid } of members) {
      met.add(pid);
      killQuietly(pid);
    }
    await new Promise((resolve) => setTimeout(resolve, members.length > 0 ? 10 : 0));
  }
}

/** @param target a pid, or the negative pid of the leader of a process group */
export function killQuietly(target: number, signal: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' = 'SIGKILL'): void {
  try {
    process.kill(target, signal);
  } catch {
    // gone already, or not ours to end: whoever must know looks again
  }
}

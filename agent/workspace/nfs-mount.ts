import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { execa } from 'execa';
import { FarmError } from '../../protocol/errors.ts';

/** `nfs://HOST[:PORT]/EXPORT` in parts; undefined when it is none. */
export function parseNfsUrl(text: string): { host: string; port: number | undefined; path: string } | undefined {
  const [, host, port, path] = /^nfs:\/\/([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(\/[^\s,]*)$/.exec(text) ?? [];
  if (!host || !path || host.startsWith('-')) return undefined;
  return { host, port: port === undefined ? undefined : Number(port), path };
}

/**
 * hard: a server that is away for a while stops a step, and does not break its files. The attributes of directories are asked for anew each time,
 * and what is not there is never remembered: a step that follows on another machine must see at once what this one has left. (`noac` would do
 * the same for the content of files as well, which close-to-open consistency makes right already, and make each write wait.) timeo, retrans: a
 * connection that has gone dead is made anew after seconds, not minutes.
 */
const options = [
  'hard',
  'nodev',
  'nosuid',
  'proto=tcp',
  'acdirmin=0',
  'acdirmax=0',
  'lookupcache=positive',
  'timeo=30',
  'retrans=1',
];

export type NfsMount = { dir: string; unmount: () => Promise<void> };

/**
 * Mounts an export at `dir`, unless it is mounted there already, and shows by writing and reading back that it can be used.
 * @param timeoutMs for each of the two: a server that does not answer must not hold up the agent
 * @throws NFS_UNUSABLE; nothing is left mounted then that was not before
 */
export async function mountNfs(url: string, dir: string, { timeoutMs = 15_000 } = {}): Promise<NfsMount> {
  const unusable = (detail: string) => new FarmError('NFS_UNUSABLE', { url, detail });
  const at = parseNfsUrl(url);
  if (!at) throw unusable('write it as nfs://HOST[:PORT]/EXPORT');
  const source = `${at.host}:${at.path}`;
  await mkdir(dir, { recursive: true }).catch(() => {});
  const there = await mountedAt(dir);
  if (there !== undefined && !(there.type.startsWith('nfs') && sameSource(there.source, source)))
    throw unusable(`${there.source} (${there.type}) is mounted at ${dir} already`);
  if (there === undefined) {
    const all = [...options, ...(at.port === undefined ? [] : [`port=${at.port}`])].join(',');
    const mount = await run('mount', ['-t', 'nfs4', '-o', all, '--', source, dir], timeoutMs);
    if (!mount.ok) {
      await unmountAll(dir);
      throw unusable(mount.detail);
    }
  }
  const canary = await run('/bin/sh', ['-c', writeAndRead, 'canary', dir, randomBytes(6).toString('hex')], timeoutMs);
  if (!canary.ok) {
    if (there === undefined) await unmountAll(dir);
    throw unusable(`it was mounted, but cannot be written and read back: ${canary.detail}`);
  }
  return { dir, unmount: () => unmountAll(dir) };
}

/** Shows that a directory that someone else has mounted can be used. @throws NFS_UNUSABLE */
export async function checkShared(dir: string, { timeoutMs = 15_000 } = {}): Promise<void> {
  const canary = await run('/bin/sh', ['-c', writeAndRead, 'canary', dir, randomBytes(6).toString('hex')], timeoutMs);
  if (!canary.ok)
    throw new FarmError('NFS_UNUSABLE', { url: dir, detail: `it cannot be written and read back: ${canary.detail}` });
}

/** In a process of its own: one that waits for a server can be killed, a thread of the agent could not. */
const writeAndRead = `set -eu
file=$1/.canary.$2
trap 'rm -f -- "$file"' EXIT
echo "$2" > "$file"
sync -- "$file"
[ "$(cat -- "$file")" = "$2" ]`;

async function unmountAll(dir: string): Promise<void> {
  if ((await mountedAt(dir)) === undefined) return;
  if ((await run('umount', ['--', dir], 5_000)).ok) return;
  // Something is open there, or the server is away: out of sight now, gone when the last has let go.
  await run('umount', ['-l', '--', dir], 5_000);
}

async function mountedAt(dir: string): Promise<{ source: string; type: string } | undefined> {
  const { stdout, exitCode } = await execa('findmnt', ['--json', '--output', 'SOURCE,FSTYPE', '--mountpoint', dir], {
    reject: false,
    timeout: 5_000,
  });
  if (exitCode !== 0) return undefined;
  const [first] = (JSON.parse(stdout) as { filesystems: { source: string; fstype: string }[] }).filesystems;
  return first && { source: first.source, type: first.fstype };
}

const sameSource = (a: string, b: string): boolean => a.replace(/\/+$/, '') === b.replace(/\/+$/, '');

async function run(file: string, args: readonly string[], timeoutMs: number): Promise<{ ok: boolean; detail: string }> {
  const result = await execa(file, args, {
    reject: false,
    all: true,
    timeout: timeoutMs,
    forceKillAfterDelay: 1_000,
    stdin: 'ignore',
  });
  const said = (result.all ?? '').trim().slice(0, 1_024);
  const why = result.timedOut ? `no answer within ${timeoutMs / 1_000} s` : said || result.shortMessage || `${file} failed`;
  return { ok: result.exitCode === 0 && !result.timedOut, detail: why };
}

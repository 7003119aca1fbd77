import { execFile } from 'node:child_process';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { FarmError } from '../../protocol/errors.ts';

/** Where a running server leaves its traces. */
export type ServerTraces = { config: string; pidFile: string; portsDir: string };

export type ReloadDeps = {
  /** Milliseconds until a reload that shows no effect counts as refused. */
  timeoutMs: number;
};

/**
 * Lets the server read its files again and waits until it says that it did: the signal itself gives no answer, and a broken file is
 * only logged.
 * @returns false when no server runs here
 * @throws FarmError NATS_SERVER_FAILED when it did not take them
 */
export async function reloadServer(at: ServerTraces, { timeoutMs }: ReloadDeps = { timeoutMs: 5_000 }): Promise<boolean> {
  const pid = await serverPid(at);
  if (pid === undefined) return false;
  const monitor = (await portsOf(at, pid))?.monitor;
  const before = await loadTime(monitor);
  process.kill(pid, 'SIGHUP');
  for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(10)) {
    const after = await loadTime(monitor);
    if (after !== undefined && after !== before) return true;
  }
  throw new FarmError('NATS_SERVER_FAILED', { detail: `process ${pid} did not take the new ${at.config}; its log says why` });
}

/** Whether a file was written after the running server last read its configuration; false when none runs here. */
export async function isNewer(at: ServerTraces, file: string): Promise<boolean> {
  const pid = await serverPid(at);
  const loaded = pid === undefined ? undefined : await loadTime((await portsOf(at, pid))?.monitor);
  return loaded !== undefined && (await stat(file)).mtimeMs > Date.parse(loaded);
}

/** When the server last read its configuration, as it writes it; undefined while it does not answer. */
async function loadTime(monitor: string | undefined): Promise<string | undefined> {
  if (!monitor) return undefined;
  try {
    const answer = await fetch(`${monitor}/varz`, { signal: AbortSignal.timeout(2_000) });
    const body: unknown = await answer.json();
    return typeof body === 'object' && body !== null && 'config_load_time' in body ? String(body.config_load_time) : undefined;
  } catch {
    return undefined;
  }
}

/** The process that the pid file names, if it still is a nats-server and runs on this very configuration; else undefined. */
export async function serverPid({ config, pidFile }: Pick<ServerTraces, 'config' | 'pidFile'>): Promise<number | undefined> {
  const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).trim());
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  const args = await commandLine(pid);
  if (!args?.includes('nats-server')) return undefined;
  const real = await realpath(config).catch(() => config);
  return args.includes(config) || args.includes(real) ? pid : undefined;
}

/** The command line of a process, its parts separated by spaces; undefined when there is no such process. */
async function commandLine(pid: number): Promise<string | undefined> {
  try {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    // A process that has ended and was not waited for has an empty one.
    return line === '' ? undefined : line.replaceAll('\0', ' ');
  } catch {
    if (process.platform === 'linux') return undefined;
  }
  try {
    return (await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)])).stdout;
  } catch {
    return undefined;
  }
}

/** The addresses that a server has written down; undefined until it has. */
export async function portsOf(
  { portsDir }: Pick<ServerTraces, 'portsDir'>,
  pid: number,
): Promise<{ client: string; monitor: string } | undefined> {
  const names = await readdir(portsDir).catch((): string[] => []);
  const name = names.find((n) => n.endsWith(`_${pid}.ports`));
  if (!name) return undefined;
  try {
    const ports: unknown = JSON.parse(await readFile(join(portsDir, name), 'utf8'));
    const [client, monitor] = [firstOf(ports, 'nats'), firstOf(ports, 'monitoring')];
    return client && monitor ? { client, monitor } : undefined;
  } catch {
    // Half written: the next look finds it whole.
    return undefined;
  }
}

function firstOf(ports: unknown, key: 'nats' | 'monitoring'): string | undefined {
  const list = typeof ports === 'object' && ports !== null ? (ports as Record<string, unknown>)[key] : undefined;
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  return typeof first === 'string' ? first : undefined;
}

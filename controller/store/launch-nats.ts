import { spawn } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import type { Log } from './log.ts';
import { portsOf, type ServerTraces, serverPid } from './nats-reload.ts';

export type ServerProcess = {
  pid: number;
  /** `nats://host:port` with the port that it really has. */
  url: string;
  monitorUrl: string;
  /** Resolves when the process has ended, with how. */
  ended: Promise<string>;
  kill: (signal: NodeJS.Signals) => void;
};

export type LaunchOptions = {
  binary: string;
  files: ServerTraces;
  log: Log;
  /** How the server learns that this process is gone. Default: the kernel tells it where it can, else a watcher does. */
  leash?: Leash;
  /** Milliseconds until it must be ready; a big store takes seconds. */
  readyMs?: number;
};

/** kernel: `setpriv --pdeathsig`. watcher: a shell that waits for the end of a pipe which only this process holds. */
export type Leash = 'kernel' | 'watcher' | 'none';

/**
 * Starts a nats-server that ends with this process, however that ends, and waits until it serves.
 * @throws FarmError NATS_SERVER_FAILED with what it said last
 */
export async function launchNats({ binary, files, log, leash, readyMs = 60_000 }: LaunchOptions): Promise<ServerProcess> {
  // A server that was killed leaves these behind, and the next one could be taken for it.
  for (const name of await readdir(files.portsDir)) await rm(join(files.portsDir, name), { force: true });
  await rm(files.pidFile, { force: true });

  const held = leash ?? (await bestLeash());
  const command = [binary, '-c', files.config];
  const [program = binary, ...args] = held === 'kernel' ? ['setpriv', '--pdeathsig', 'TERM', ...command] : command;
  // A session of its own: Ctrl-C in the terminal is for the controller, which stops the server last.
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true, windowsHide: true });
  const said: string[] = [];
  createInterface({ input: child.stderr, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
    const text = line.slice(0, 2_000);
    if (said.push(text) > 20) said.shift();
    log[levelOf(text)]({ part: 'nats-server' }, text);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(messageOf(error)));
    child.once('close', (code, signal) => resolve(signal ? `killed by ${signal}` : `exit code ${code}`));
  });
  const { pid } = child;
  if (pid === undefined) throw new FarmError('NATS_SERVER_FAILED', { detail: `${binary}: ${await ended}` });
  if (held === 'watcher') watch(pid, ended);

  const state: { over?: string } = {};
  void ended.then((how) => {
    state.over = how;
  });
  const began = performance.now();
  let health = 'it has not written its ports';
  for (let wait = 5; performance.now() < began + readyMs; wait = Math.min(1.5 * wait, 200)) {
    if (state.over !== undefined) throw new FarmError('NATS_SERVER_FAILED', { detail: [state.over, ...said].join('\n') });
    // In a container the server is not the process that was started here, but has a number here all the same.
    const ports = await portsOf(files, (await serverPid(files)) ?? pid);
    if (ports) {
      health = await healthOf(ports.monitor);
      if (health === 'ok')
        return { pid, url: ports.client, monitorUrl: ports.monitor, ended, kill: (signal) => child.kill(signal) };
    }
    // Newer servers say so for ever of a stream whose files are damaged; older ones start without it (see ensureStreams).
    if (/could not be recovered/.test(health) && performance.now() > began + damagedMs) break;
    await sleep(wait);
  }
  child.kill('SIGKILL');
  await ended;
  throw new FarmError('NATS_SERVER_FAILED', { detail: [`not ready: ${health}`, ...said].join('\n') });
}

/** How long a stream may count as still being read. */
const damagedMs = 2_000;

/**
 * Ends a server: asks, and kills it after `graceMs` (a full disk makes old ones deaf).
 * @param gone whether it has ended
 */
export async function endServer(pid: number, gone: () => boolean | Promise<boolean>, graceMs = 8_000): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    for (const deadline = performance.now() + graceMs; performance.now() < deadline; await sleep(10)) if (await gone()) return;
  }
}

/** Ends a server that a killed controller left on these files. @returns its pid; undefined when there was none */
export async function endOrphan(files: ServerTraces, graceMs?: number): Promise<number | undefined> {
  const pid = await serverPid(files);
  if (pid !== undefined) await endServer(pid, async () => (await serverPid(files)) !== pid, graceMs);
  return pid;
}

/** @returns 'ok', or what the server lacks: one that is starting answers 503, or not at all */
async function healthOf(monitor: string): Promise<string> {
  try {
    const answer = await fetch(`${monitor}/healthz`, { signal: AbortSignal.timeout(1_000) });
    return answer.ok ? 'ok' : (await answer.text()).slice(0, 500);
  } catch (error) {
    return messageOf(error);
  }
}

let kernelLeash: Promise<boolean> | undefined;

async function bestLeash(): Promise<Leash> {
  if (process.platform === 'win32') return 'none';
  // Small systems have a setpriv without this option; it is asked once.
  kernelLeash ??= new Promise((resolve) => {
    spawn('setpriv', ['--pdeathsig', 'TERM', 'true'], { stdio: 'ignore' })
      .once('error', () => resolve(false))
      .once('close', (code) => resolve(code === 0));
  });
  return (await kernelLeash) ? 'kernel' : 'watcher';
}

/** The pipe closes when this process ends, even by SIGKILL. The watcher goes first when the server does: its number may be given again. */
function watch(pid: number, ended: Promise<string>): void {
  const watcher = spawn('sh', ['-c', watchScript, 'sh', String(pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  watcher.on('error', () => {});
  watcher.unref();
  void ended.then(() => watcher.kill('SIGKILL'));
}

const watchScript = `cat >/dev/null
kill -TERM "$1" || exit
for second in 1 2 3 4 5 6 7 8; do sleep 1; kill -0 "$1" || exit; done
kill -KILL "$1"`;

const levelOf = (line: string): 'debug' | 'warn' | 'error' =>
  /\[(ERR|FTL)\]/.test(line) ? 'error' : /\[WRN\]/.test(line) ? 'warn' : 'debug';

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type Watchdog = {
  /** It ends when nothing is left to look after. */
  stop: () => void;
};

/**
 * Starts the watchdog, a process with a session of its own beside the agent: whatever becomes of the agent, steps that must not go on are
 * killed. It outlives an agent that dies while steps are alive; the next agent's takes over from it.
 * @param dir where `Guard` writes
 * @param leaseMs how long the leader waits for a silent agent
 * @param env of the new process
 */
export function startWatchdog(dir: string, leaseMs: number, env: NodeJS.ProcessEnv): Watchdog {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const file = fileURLToPath(new URL(`./watchdog-main.${extension}`, import.meta.url));
  const child = spawn(process.execPath, [file, dir, String(leaseMs)], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
    // A call to a file server that is away takes a thread for as long.
    env: { ...env, UV_THREADPOOL_SIZE: '64' },
  });
  child.unref();
  child.on('error', () => {});
  child.stdin.on('error', () => {});
  (child.stdin as unknown as { unref: () => void }).unref();
  return { stop: () => child.stdin.end() };
}

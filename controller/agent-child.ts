import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../protocol/errors.ts';
import type { Log } from './store/log.ts';

export type AgentChild = {
  /** Drains it; resolves when it is gone. */
  stop: () => Promise<void>;
};

export type AgentChildOptions = {
  /** Its data directory, of its own. */
  home: string;
  /** A join token that is good now. A secret. */
  token: () => string;
  args: readonly string[];
  /** Program and first arguments. */
  command: readonly string[];
  log: Log;
};

const restartMs = { first: 500, most: 10_000 };
/** A drain takes at most its grace period and a farewell; then the agent is killed. */
const patienceMs = 60_000;
/** As agent/lock.ts says: another process serves this directory. */
const inUseExitCode = 75;
const lookEveryMs = 1_000;

/**
 * An agent as a process of its own, started again when it dies. It outlives this process: steps do not die with a controller. One that an earlier
 * controller left running is taken over: nothing is started beside it, and it is stopped like one's own.
 */
export function startAgentChild({ home, token, args, command, log }: AgentChildOptions): AgentChild {
  const stopping = new AbortController();
  const tokenFile = join(home, 'join.token');
  let pid: number | undefined;

  const runOnce = async (): Promise<{ how: string; inUse: boolean }> => {
    await writeFile(tokenFile, `${token()}\n`, { mode: 0o600 });
    const [program = process.execPath, ...first] = command;
    const child = spawn(program, [...first, ...args, '--data', home, '--token-file', tokenFile], {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
    pid = child.pid;
    return endOf(child);
  };
  const outliveOther = async () => {
    const other = Number.parseInt(await readFile(join(home, 'agent.pid'), 'utf8').catch(() => ''), 10);
    if (!Number.isInteger(other) || other < 2) return;
    log.info({ pid: other }, 'an agent of an earlier controller still serves here; it goes on');
    pid = other;
    while (isAlive(other)) await sleep(lookEveryMs);
  };
  const running = (async () => {
    for (let waitMs = restartMs.first; !stopping.signal.aborted; waitMs = Math.min(2 * waitMs, restartMs.most)) {
      const { how, inUse } = await runOnce().catch((error: unknown) => ({ how: messageOf(error), inUse: false }));
      if (inUse) await outliveOther();
      pid = undefined;
      if (stopping.signal.aborted) return;
      log.error({ how }, 'an agent has ended; starting it again');
      await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      signal(pid, 'SIGTERM');
      const kill = setTimeout(() => signal(pid, 'SIGKILL'), patienceMs);
      await running;
      clearTimeout(kill);
    },
  };
}

const endOf = (child: ChildProcess) =>
  new Promise<{ how: string; inUse: boolean }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ how: signal ?? `exit code ${code}`, inUse: code === inUseExitCode }));
    child.once('error', (error) => resolve({ how: messageOf(error), inUse: false }));
  });

function signal(pid: number | undefined, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, name);
  } catch {
    // It is gone already.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

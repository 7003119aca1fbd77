import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Whether a process runs; one that has ended and was not waited for does not. */
export async function runs(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return state.slice(state.lastIndexOf(')') + 2, state.lastIndexOf(')') + 3) !== 'Z';
}

/**
 * Waits for what gives no event.
 * @throws Error when it has not come true in time
 */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; !(await isTrue()); await sleep(10))
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
}

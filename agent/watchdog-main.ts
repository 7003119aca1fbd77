import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { messageOf } from '../protocol/errors.ts';
import { keyOf } from '../protocol/task.ts';
import { killContainer, pauseContainer } from './executor/docker.ts';
import type { Handle } from './executor/executor.ts';
import { processExecutor, signalProcess } from './executor/process.ts';
import { heardFile, killedFile, WatchEntry } from './guard.ts';
import { mustHoldStill, whyKill } from './watch-rules.ts';

/*
 * The watchdog: `watchdog-main DIR LEASE_MS`. Every second it looks at what the agent has written in DIR and kills what must not go on. It
 * reads no network and asks nobody. When its standard input has ended (the agent stopped, or died) it goes on until nothing is left.
 */

const [dir = '', leaseText = ''] = process.argv.slice(2);
const leaseMs = Number(leaseText);
const everyMs = 1_000;
const ownerFile = join(dir, 'owner');

let agentIsGone = false;
const gone = new Promise<void>((resolve) => {
  for (const event of ['end', 'error'])
    process.stdin.on(event, () => {
      agentIsGone = true;
      resolve();
    });
});
process.stdin.resume();
// Whoever ends the agent's terminal or group does not mean the watchdog.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});

const say = (facts: object, msg: string) =>
  process.stderr.write(`${JSON.stringify({ level: 40, time: Date.now(), watchdog: process.pid, ...facts, msg })}\n`);

const reapers: Record<Handle['kind'], (handle: Handle) => Promise<unknown>> = {
  process: processExecutor().reap,
  scripted: async () => false,
  docker: killContainer,
};

const suspend: Record<Handle['kind'], (handle: Handle, on: boolean) => Promise<unknown>> = {
  process: (handle, on) => signalProcess(handle, on ? 'SIGSTOP' : 'SIGCONT'),
  scripted: async () => false,
  docker: pauseContainer,
};

/** Since when a look has not come back: a file server that is away holds up only its own. */
const looking = new Map<string, number>();
const killed = new Set<string>();
const still = new Set<string>();

async function look(entry: WatchEntry, heardMs: number): Promise<void> {
  const key = keyOf(entry.key);
  const rules = { step: entry.key.step, attempt: entry.key.attempt, stopsOnLeaseLoss: entry.stopsOnLeaseLoss };
  const at = () => ({ nowMs: nowMs(), heardMs, leaseMs });
  const atOnce = whyKill(rules, undefined, at());
  if (atOnce !== undefined) return kill(entry, atOnce);
  if (entry.marks === undefined) return;
  // Again and again while it lasts: what it has started meanwhile must hold still too.
  if (mustHoldStill(looking.get(key), at())) await holdStill(entry);
  if (looking.has(key)) return;
  looking.set(key, nowMs());
  try {
    const marks = await marksIn(entry.marks);
    const why = whyKill(rules, marks, at());
    if (why !== undefined) await kill(entry, why);
    else if (marks !== undefined && still.has(key)) await goOn(entry);
  } finally {
    looking.delete(key);
  }
}

async function holdStill({ key, handle }: WatchEntry): Promise<void> {
  if (!still.has(keyOf(key)))
    say(
      { ...key },
      'holding a step still: neither a controller nor its storage answers, so it may have been given to another agent',
    );
  still.add(keyOf(key));
  await suspend[handle.kind](handle, true).catch(() => {});
}

async function goOn({ key, handle }: WatchEntry): Promise<void> {
  still.delete(keyOf(key));
  say({ ...key }, 'its storage is back and the step is still ours: it goes on');
  await suspend[handle.kind](handle, false).catch(() => {});
}

const marksIn = (marks: string): Promise<string[] | 'gone' | undefined> =>
  readdir(marks).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' || error.code === 'ESTALE' ? 'gone' : undefined,
  );

async function kill({ key, handle }: WatchEntry, why: string): Promise<void> {
  const first = !killed.has(keyOf(key));
  killed.add(keyOf(key));
  if (first) {
    say({ ...key }, `killing a step: ${why}`);
    await writeFile(join(dir, killedFile(key)), why).catch(() => {});
  }
  await reapers[handle.kind](handle).catch((error: unknown) =>
    say({ ...key, reason: messageOf(error) }, 'it could not be killed; trying again'),
  );
}

/** CLOCK_MONOTONIC: the same for every process of this machine. */
const nowMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

async function entries(): Promise<WatchEntry[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.json'));
  const read = names.map(async (name) => {
    try {
      return Value.Parse(WatchEntry, JSON.parse(await readFile(join(dir, name), 'utf8')));
    } catch {
      return [];
    }
  });
  return (await Promise.all(read)).flat();
}

await writeFile(ownerFile, String(process.pid));
const startedMs = nowMs();
for (;;) {
  const owner = await readFile(ownerFile, 'utf8').catch(() => '');
  if (owner !== String(process.pid)) break;
  const all = await entries();
  if (all.length === 0 && agentIsGone) break;
  const heard = Number(await readFile(join(dir, heardFile), 'utf8').catch(() => '')) || startedMs;
  for (const entry of all)
    void look(entry, heard).catch((error: unknown) => say({ reason: messageOf(error) }, 'a step could not be looked at'));
  const pause = new Promise<void>((resolve) => setTimeout(resolve, everyMs));
  await (agentIsGone ? pause : Promise.race([pause, gone]));
}
process.exit();

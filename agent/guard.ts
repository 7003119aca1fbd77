import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { AttemptKey, keyOf, type Task } from '../protocol/task.ts';
import { Handle, type StepEnd } from './executor/executor.ts';

/** What the watchdog knows of a step: a file `RUN.STEP.ATTEMPT.json` in its directory. */
export const WatchEntry = Type.Object({
  key: AttemptKey,
  handle: Handle,
  marks: Type.Optional(Type.String({ description: '`.attempts` of its shared workspace' })),
  stopsOnLeaseLoss: Type.Boolean(),
});
export type WatchEntry = Static<typeof WatchEntry>;

/** When the last beat that the leader answered had been sent: monotonic milliseconds of this machine, digits. */
export const heardFile = 'heard';
/** Why the watchdog killed a step: beside its entry. */
export const killedFile = (key: AttemptKey): string => `${keyOf(key)}.killed`;
export const entryFile = (key: AttemptKey): string => `${keyOf(key)}.json`;

/** Tells the watchdog which steps to look after. The directory is the agent's alone. */
export class Guard {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** A step is about to begin, or goes on in another process. @param marks of its shared workspace */
  begun({ run, step, attempt, spec }: Task, handle: Handle, marks: string | undefined): void {
    const stopsOnLeaseLoss = spec.onLeaseLoss === 'stop';
    if (marks === undefined && !stopsOnLeaseLoss) return;
    const key = { run, step, attempt };
    const entry: WatchEntry = { key, handle, ...(marks === undefined ? {} : { marks }), stopsOnLeaseLoss };
    const file = join(this.#dir, entryFile(key));
    writeFileSync(`${file}.new`, JSON.stringify(entry));
    renameSync(`${file}.new`, file);
  }

  /** @returns how the step ended; one that the watchdog killed did not fail, but is lost */
  ended({ run, step, attempt }: AttemptKey, end: StepEnd): StepEnd {
    const key = { run, step, attempt };
    const why = read(join(this.#dir, killedFile(key)));
    this.#drop(key);
    return why === undefined ? end : { outcome: 'lost', message: `the watchdog killed it: ${why}` };
  }

  /** Forgets all others. */
  keepOnly(keys: readonly AttemptKey[]): void {
    const kept = new Set(keys.flatMap((key) => [entryFile(key), killedFile(key)]));
    for (const name of readdirSync(this.#dir)) {
      if (/\.(json|killed|new)$/.test(name) && !kept.has(name)) rmSync(join(this.#dir, name), { force: true });
    }
  }

  #drop(key: AttemptKey): void {
    for (const name of [entryFile(key), killedFile(key)]) rmSync(join(this.#dir, name), { force: true });
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').slice(0, 1_024);
  } catch {
    return undefined;
  }
}

import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { FarmError, messageOf } from '../protocol/errors.ts';
import { Notice } from '../protocol/notice.ts';
import { AttemptKey, keyOf, Task } from '../protocol/task.ts';
import { Handle } from './executor/executor.ts';

/** An attempt whose end the farm does not know yet, or whose log is not wholly stored. */
export type HeldAttempt = {
  task: Task;
  acceptedAtMs: number;
  /** Absent: nothing of it ever ran. */
  handle?: Handle;
  /** It has been asked to stop. */
  stopping: boolean;
  /** Its `end` or `return` notice is among the notices: nothing of it runs any more. */
  ended: boolean;
  /** Numbered from 1 by their place. */
  notices: readonly Notice[];
  /** So many of them are stored. */
  acknowledged: number;
};

export type Unsent = { key: AttemptKey; n: number; notice: Notice };

/**
 * What an agent must not forget. Each call that changes something is on disk when it returns (a few milliseconds: it waits for
 * the disk, and is called a dozen times per attempt), except `acknowledged` and `done`, whose loss only repeats what is harmless.
 * Calls about an attempt that is not held, and those that say nothing new, change nothing and return false (0).
 * @throws JOURNAL_BROKEN when the disk refuses; then nothing has changed
 */
export type Journal = {
  /** Whether this attempt was ever accepted here: held, or done within the last two hours. */
  has: (key: AttemptKey) => boolean;
  /** Before anything is done for the task. False: it is known already, and must not be started again. */
  accept: (task: Task) => boolean;
  /** @param durable false: a notice is added right after it, which brings both to the disk at once */
  setHandle: (key: AttemptKey, handle: Handle, durable?: boolean) => boolean;
  setStopping: (key: AttemptKey) => boolean;
  /** @returns its number, from 1 */
  addNotice: (key: AttemptKey, notice: Notice) => number;
  /** Of each attempt the one notice that may be sent now: the one before it is stored. */
  nextUnsent: () => Unsent[];
  /** Notice `n` is stored, and so are those before it. */
  acknowledged: (key: AttemptKey, n: number) => boolean;
  /** The farm knows its end and has its log, or does not want them: only that it was here is kept. */
  done: (key: AttemptKey) => boolean;
  get: (key: AttemptKey) => HeldAttempt | undefined;
  /** In the order in which they were accepted. */
  held: () => HeldAttempt[];
  highestTerm: () => number;
  /** False: as high a term had been seen before. */
  raiseTerm: (term: number) => boolean;
  close: () => void;
  /** Lines that could not be read when it was opened: the last one torn by a crash, or a broken disk. */
  unreadable: number;
};

const Entry = Type.Union([
  Type.Object({ t: Type.Literal('term'), term: Type.Integer({ minimum: 0 }) }),
  Type.Object({ t: Type.Literal('task'), atMs: Type.Integer(), task: Task }),
  Type.Object({ t: Type.Literal('handle'), key: AttemptKey, handle: Handle }),
  Type.Object({ t: Type.Literal('stopping'), key: AttemptKey }),
  Type.Object({ t: Type.Literal('notice'), key: AttemptKey, notice: Notice }),
  Type.Object({ t: Type.Literal('acknowledged'), key: AttemptKey, n: Type.Integer({ minimum: 1 }) }),
  Type.Object({ t: Type.Literal('done'), key: Type.String({ maxLength: 256 }), atMs: Type.Integer() }),
]);
type Entry = Static<typeof Entry>;
const entrySchema = Compile(Entry);

/** Longer than any task stays in `TASKS`, so that one which is delivered twice is known the second time. */
const seenForMs = 2 * 3_600_000;
const mostSeen = 20_000;
/** The file is written anew when it is twice as long as it was after the last time, and longer than this. */
const compactBytes = 1024 * 1024;

type State = { term: number; held: Map<string, HeldAttempt>; seen: Map<string, number> };

/**
 * One file of JSON lines, `journal.jsonl`, written anew when it is opened and when it has grown.
 * @param dir the agent's data directory; one process at a time
 * @param now milliseconds since the epoch
 */
export function openJournal(dir: string, now: () => number): Journal {
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const file = join(dir, 'journal.jsonl');
  const { state, unreadable } = readState(file, now());
  const log = openLog(file, () => linesOf(state));

  const change = (entry: Entry, durable = true): void => {
    log.append(`${JSON.stringify(entry)}\n`, durable);
    apply(state, entry);
    forgetOld(state, now());
    log.compactIfLong();
  };
  const ifHeld = (key: AttemptKey, entry: (held: HeldAttempt) => Entry | undefined, durable = true): boolean => {
    const held = state.held.get(keyOf(key));
    const made = held && entry(held);
    if (made) change(made, durable);
    return made !== undefined;
  };
  const bare = ({ run, step, attempt }: AttemptKey): AttemptKey => ({ run, step, attempt });

  return {
    unreadable,
    has: (key) => state.held.has(keyOf(key)) || state.seen.has(keyOf(key)),
    accept: (task) => {
      if (state.held.has(keyOf(task)) || state.seen.has(keyOf(task))) return false;
      change({ t: 'task', atMs: now(), task });
      return true;
    },
    setHandle: (key, handle, durable) => ifHeld(key, () => ({ t: 'handle', key: bare(key), handle }), durable),
    setStopping: (key) => ifHeld(key, (held) => (held.stopping ? undefined : { t: 'stopping', key: bare(key) })),
    addNotice: (key, notice) => {
      ifHeld(key, () => ({ t: 'notice', key: bare(key), notice }));
      return state.held.get(keyOf(key))?.notices.length ?? 0;
    },
    nextUnsent: () =>
      [...state.held.values()].flatMap(({ task, notices, acknowledged }) => {
        const notice = notices[acknowledged];
        return notice ? [{ key: bare(task), n: acknowledged + 1, notice }] : [];
      }),
    acknowledged: (key, n) =>
      ifHeld(
        key,
        (held) => (n > held.acknowledged && n <= held.notices.length ? { t: 'acknowledged', key: bare(key), n } : undefined),
        false,
      ),
    done: (key) => ifHeld(key, () => ({ t: 'done', key: keyOf(key), atMs: now() }), false),
    get: (key) => state.held.get(keyOf(key)),
    held: () => [...state.held.values()],
    highestTerm: () => state.term,
    raiseTerm: (term) => {
      if (term <= state.term) return false;
      change({ t: 'term', term });
      return true;
    },
    close: log.close,
  };
}

function apply(state: State, entry: Entry): void {
  const put = (key: AttemptKey, change: (held: HeldAttempt) => Partial<HeldAttempt>) => {
    const held = state.held.get(keyOf(key));
    if (held) state.held.set(keyOf(key), { ...held, ...change(held) });
  };
  switch (entry.t) {
    case 'term':
      state.term = Math.max(state.term, entry.term);
      break;
    case 'task':
      state.held.set(keyOf(entry.task), {
        task: entry.task,
        acceptedAtMs: entry.atMs,
        stopping: false,
        ended: false,
        notices: [],
        acknowledged: 0,
      });
      break;
    case 'handle':
      put(entry.key, () => ({ handle: entry.handle }));
      break;
    case 'stopping':
      put(entry.key, () => ({ stopping: true }));
      break;
    case 'notice':
      put(entry.key, (held) => ({
        notices: [...held.notices, entry.notice],
        ended: held.ended || entry.notice.type !== 'start',
      }));
      break;
    case 'acknowledged':
      put(entry.key, () => ({ acknowledged: entry.n }));
      break;
    case 'done':
      state.held.delete(entry.key);
      state.seen.set(entry.key, entry.atMs);
      break;
  }
}

/** `seen` is in the order of its times, so the oldest stand first. */
function forgetOld(state: State, nowMs: number): void {
  for (const [key, atMs] of state.seen) {
    if (nowMs - atMs <= seenForMs && state.seen.size <= mostSeen) break;
    state.seen.delete(key);
  }
}

/** The shortest journal that leads to this state. */
function* linesOf(state: State): Generator<string> {
  const entry = (e: Entry) => `${JSON.stringify(e)}\n`;
  yield entry({ t: 'term', term: state.term });
  for (const [key, atMs] of state.seen) yield entry({ t: 'done', key, atMs });
  for (const held of state.held.values()) {
    const { run, step, attempt } = held.task;
    const key = { run, step, attempt };
    yield entry({ t: 'task', atMs: held.acceptedAtMs, task: held.task });
    if (held.handle) yield entry({ t: 'handle', key, handle: held.handle });
    if (held.stopping) yield entry({ t: 'stopping', key });
    for (const notice of held.notices) yield entry({ t: 'notice', key, notice });
    if (held.acknowledged > 0) yield entry({ t: 'acknowledged', key, n: held.acknowledged });
  }
}

/** A line that cannot be read is passed over: the lines before and after it still say what was started here. */
function readState(file: string, nowMs: number): { state: State; unreadable: number } {
  const state: State = { term: 0, held: new Map(), seen: new Map() };
  let unreadable = 0;
  for (const line of existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []) {
    if (line === '') continue;
    const entry = parseEntry(line);
    if (entry) apply(state, entry);
    else unreadable += 1;
  }
  forgetOld(state, nowMs);
  return { state, unreadable };
}

function parseEntry(line: string): Entry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return entrySchema.Check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The file beneath: appends whole lines or nothing, and can be written anew without a moment in which it is not whole. */
function openLog(file: string, lines: () => Iterable<string>) {
  let fd = -1;
  let length = 0;
  let compacted = 0;
  const broken = (cause: unknown) => new FarmError('JOURNAL_BROKEN', { file, detail: messageOf(cause) }, { cause });

  const compact = () => {
    const draft = `${file}.new`;
    const next = openSync(draft, 'w', 0o600);
    let bytes = 0;
    try {
      for (const line of lines()) bytes += writeAll(next, line);
      fsyncSync(next);
      renameSync(draft, file);
    } catch (error) {
      closeSync(next);
      throw error;
    }
    if (fd !== -1) closeSync(fd);
    fd = next;
    length = compacted = bytes;
    syncDir(dirname(file));
  };

  try {
    compact();
  } catch (error) {
    throw broken(error);
  }
  return {
    append: (line: string, durable: boolean) => {
      try {
        const bytes = writeAll(fd, line, length);
        if (durable) fsyncSync(fd);
        length += bytes;
      } catch (error) {
        // Half a line must not stay: the next one would become part of it.
        try {
          ftruncateSync(fd, length);
        } catch {
          // the next append writes over it: it says where
        }
        throw broken(error);
      }
    },
    compactIfLong: () => {
      if (length < compactBytes || length < 2 * compacted) return;
      try {
        compact();
      } catch {
        // It goes on in the long file; the next change tries again.
      }
    },
    close: () => closeSync(fd),
  };
}

function writeAll(fd: number, text: string, at?: number): number {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; )
    done += writeSync(fd, bytes, done, bytes.length - done, at === undefined ? null : at + done);
  return bytes.length;
}

function syncDir(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

import { Value } from 'typebox/value';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import { ToViewer } from '../../protocol/log.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Work } from './cli.ts';
import type { Path } from './client.ts';
import { exitCodeOf, exitCodes, Refusal } from './exit.ts';
import type { Socket } from './socket.ts';
import { plain } from './text.ts';

/** Bytes of an attempt's log in order; `offset` is where they stand in it. Printing may take its time: nothing is read meanwhile. */
export type OnBytes = (bytes: Uint8Array, offset: number) => Promise<void>;

/** `missing` bytes were lost before they could be stored. */
export type LogEnd = { state: string; total: number; missing: number };

/** A farm that was there and is away is waited for so long, counted from the last sign of life. Longer than a restart takes. */
export const patienceMs = 5 * 60_000;
const firstWaitMs = 250;
const longestWaitMs = 5_000;
/** An attempt that a replica does not know yet: its state may be a moment behind the one that told us. */
const unknownTries = 20;

export const logPath = (a: Pick<AttemptKey, 'run' | 'step'>): Path => ['api', 'runs', a.run, 'steps', a.step, 'log'];

/** Whether trying again later, or elsewhere, can help. */
const passes = (error: unknown): boolean => exitCodeOf(error) === exitCodes.unreachable;
const isUnknownYet = (error: unknown): boolean => error instanceof Refusal && exitCodeOf(error) === exitCodes.notFound;

/** Signs of life: the farm answered; or it was of use, so that the next trouble is a new one. */
export type Life = { answered(): void; useful(): void };

/**
 * Calls `attempt` until it returns a value. After a failure that may pass, and after undefined, it waits, longer each time.
 * @throws what `attempt` threw when that cannot pass, or when the farm has not answered for `patienceMs`
 */
export async function patiently<T>(
  attempt: (life: Life) => Promise<T | undefined>,
  w: Pick<Work, 'now' | 'sleep' | 'signal' | 'err'>,
): Promise<T> {
  let answeredAtMs = w.now();
  let waitMs = firstWaitMs;
  let unknown = 0;
  let said = false;
  const answered = () => {
    answeredAtMs = w.now();
    unknown = 0;
    said = false;
  };
  const useful = () => {
    answered();
    waitMs = firstWaitMs;
  };
  for (;;) {
    try {
      const value = await attempt({ answered, useful });
      if (value !== undefined) return value;
    } catch (error) {
      w.signal.throwIfAborted();
      const hopeless = isUnknownYet(error) ? ++unknown > unknownTries : !passes(error) || w.now() - answeredAtMs > patienceMs;
      if (hopeless) throw error;
      if (!said && passes(error)) w.err.line(w.err.paint('dim', 'the farm does not answer; trying again'));
      said = true;
    }
    await w.sleep(waitMs, w.signal);
    waitMs = Math.min(longestWaitMs, waitMs * 2);
  }
}

/**
 * Follows one attempt's log from `offset` to its end, over as many connections as it takes. No byte comes twice and none is left
 * out, unless the farm says that it has lost some.
 * @throws what cannot pass: Refusal, FARM_UNREACHABLE after `patienceMs`
 */
export async function followAttempt(log: AttemptKey & { offset: number }, onBytes: OnBytes, w: Work): Promise<LogEnd> {
  const position = { next: log.offset };
  return patiently(async (life) => {
    const query = { attempt: log.attempt, offset: position.next, follow: 1 };
    const socket = await w.farm.socket(logPath(log), query, w.signal);
    try {
      return await readSocket(socket, log.attempt, position, life, onBytes, w);
    } finally {
      socket.close();
    }
  }, w);
}

/** @returns the end of the log, or undefined when the connection ended before */
async function readSocket(
  socket: Socket,
  attempt: number,
  position: { next: number },
  life: Life,
  onBytes: OnBytes,
  w: Work,
): Promise<LogEnd | undefined> {
  /** Where the next binary frame stands, as the server counts. */
  let at = position.next;
  const frames = socket[Symbol.asyncIterator]();
  for (;;) {
    // A broken connection is the end of this one, nothing more; an error of the printer is not caught here.
    const frame = await frames.next().catch(() => ({ done: true as const, value: undefined }));
    w.signal.throwIfAborted();
    if (frame.done) return undefined;
    life.answered();
    if (typeof frame.value !== 'string') {
      const bytes = frame.value;
      const known = Math.min(bytes.length, Math.max(0, position.next - at));
      const [from, fresh] = [at + known, bytes.subarray(known)];
      at += bytes.length;
      if (fresh.length === 0) continue;
      if (from > position.next) w.err.line(w.err.paint('yellow', lostBytes(from - position.next, position.next)));
      position.next = at;
      life.useful();
      await onBytes(fresh, from);
      continue;
    }
    const said = toViewer(frame.value);
    if (said?.type === 'at' && said.attempt === attempt) at = said.offset;
    // The log of another attempt is not what was asked for; whoever wants that asks for it.
    else if (said?.type === 'at') return undefined;
    else if (said?.type === 'error') throw new Refusal(0, plain(said.code), plain(said.message));
    else if (said?.type === 'end') return { state: said.state, total: said.total, missing: said.missing };
  }
}

export const lostBytes = (n: number, offset: number): string => `[${n} bytes of output are missing at offset ${offset}]`;

/** @returns undefined for what this version does not know; it is skipped */
function toViewer(text: string): ToViewer | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(ToViewer, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Reads what is stored of an attempt's log now; goes on where it stood when the connection breaks. */
export async function readAttempt(log: AttemptKey & { offset: number }, onBytes: OnBytes, w: Work): Promise<void> {
  let next = log.offset;
  await patiently(async (life) => {
    const bytes = await w.farm.bytes(logPath(log), { attempt: log.attempt, offset: next }, w.signal);
    const pieces = bytes[Symbol.asyncIterator]();
    for (;;) {
      const piece = await pieces.next().catch((cause: unknown) => {
        w.signal.throwIfAborted();
        throw new FarmError('FARM_UNREACHABLE', { urls: [w.farm.url().origin], detail: plain(messageOf(cause)) }, { cause });
      });
      if (piece.done) return true;
      const offset = next;
      next += piece.value.length;
      life.useful();
      await onBytes(piece.value, offset);
    }
  }, w);
}

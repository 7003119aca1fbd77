import { Readable } from 'node:stream';
import type { Run } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';
import { countedAttempts, onlyStep } from './counted.ts';
import type { RunPlaces } from './published.ts';

/** missing: bytes that the step wrote and that nobody sent. */
export type ArchivedLog = { bytes: number; missing: number };
export type LogReader = (key: AttemptKey) => AsyncIterable<Uint8Array>;

type Deps = { objects: Pick<Objects, 'put'>; readLog: LogReader };
type Part = { key: AttemptKey; head: string; log: ArchivedLog | undefined };

/** Writes `build-log.txt`: the log of the only step, or those of all in order, each below a line with its name and also by itself. */
export async function publishLogs(
  run: Run,
  logs: ReadonlyMap<string, ArchivedLog>,
  places: RunPlaces,
  { objects, readLog }: Deps,
): Promise<void> {
  const parts: Part[] = countedAttempts(run).map(({ key, attempt }) => ({
    key,
    head: `==> step ${key.step}: ${attempt.state}${key.attempt > 1 ? ` (attempt ${key.attempt})` : ''} <==\n`,
    log: logs.get(`${key.step}/${key.attempt}`),
  }));
  const only = onlyStep(run);
  const own = parts.find((p) => p.key.step === only);
  if (own) await objects.put(places.file('build-log.txt'), Readable.from(bodyOf(own, readLog), { objectMode: false }));
  else await objects.put(places.file('build-log.txt'), Readable.from(joined(parts, readLog), { objectMode: false }));
  for (const part of parts)
    if (part !== own) await objects.put(places.log(part.key.step), Readable.from(bodyOf(part, readLog), { objectMode: false }));
}

async function* bodyOf({ key, log }: Part, readLog: LogReader): AsyncGenerator<Uint8Array> {
  let last: number | undefined;
  for await (const piece of readLog(key)) {
    if (piece.length === 0) continue;
    last = piece.at(-1);
    yield piece;
  }
  if (!log?.missing) return;
  const line = `[${log.missing} bytes of this output are missing: whoever had them was not heard of again]\n`;
  yield Buffer.from(last === undefined || last === 10 ? line : `\n${line}`);
}

async function* joined(parts: readonly Part[], readLog: LogReader): AsyncGenerator<Uint8Array> {
  let last = 10;
  for (const part of parts) {
    yield Buffer.from(last === 10 ? part.head : `\n${part.head}`);
    last = 10;
    for await (const piece of bodyOf(part, readLog)) {
      last = piece.at(-1) ?? last;
      yield piece;
    }
  }
}

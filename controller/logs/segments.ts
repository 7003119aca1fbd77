import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';

/** Most bytes of output in one object. */
export const segmentBytes = 8 * 1024 * 1024;

/** Where an attempt's output stands in object storage: objects named by their offsets, and `end` when it is finished. */
export const logPrefix = (a: AttemptKey): string => `logs/${a.run}/${a.step}/${a.attempt}/`;

/** The bytes from `start` to before `end`. */
export type LogSegment = { key: string; start: number; end: number };

const digits = (offset: number): string => String(offset).padStart(16, '0');

export const segmentOf = (a: AttemptKey, start: number, end: number): LogSegment => ({
  key: `${logPrefix(a)}${digits(start)}-${digits(end)}`,
  start,
  end,
});

/** undefined for another object. */
export function parseSegment(key: string): LogSegment | undefined {
  const [, start, end] = /\/([0-9]{16})-([0-9]{16})$/.exec(key) ?? [];
  return start && end && Number(start) < Number(end) ? { key, start: Number(start), end: Number(end) } : undefined;
}

/**
 * The segments that hold the output from its first byte on without a gap. Two leaders may have cut it in different places, but the
 * bytes at an offset are the same everywhere: of several segments the one that leads furthest is taken.
 */
export function chain(segments: readonly LogSegment[]): LogSegment[] {
  const chained: LogSegment[] = [];
  for (let end = 0; ; ) {
    const next = segments
      .filter((s) => s.start <= end && s.end > end)
      .reduce<LogSegment | undefined>((a, b) => (a && a.end >= b.end ? a : b), undefined);
    if (!next) return chained;
    chained.push(next);
    end = next.end;
  }
}

/** What of an attempt's output stands in object storage. */
export async function archivedSegments(objects: Objects, a: AttemptKey): Promise<{ segments: LogSegment[]; end: number }> {
  const found: LogSegment[] = [];
  for await (const { key } of objects.list(logPrefix(a))) {
    const segment = parseSegment(key);
    if (segment) found.push(segment);
  }
  const segments = chain(found);
  return { segments, end: segments.at(-1)?.end ?? 0 };
}

/** The archived bytes from `offset` on. A segment that is gone ends it, as if it had never been there. */
export async function* readSegments(
  objects: Objects,
  a: AttemptKey,
  offset: number,
): AsyncGenerator<{ offset: number; bytes: Buffer }> {
  let at = offset;
  for (const segment of (await archivedSegments(objects, a)).segments) {
    if (segment.end <= at) continue;
    const body = await objects.read(segment.key, { start: at - segment.start });
    if (!body) return;
    for await (const bytes of body as AsyncIterable<Buffer>) {
      yield { offset: at, bytes };
      at += bytes.length;
    }
    if (at < segment.end) return;
  }
}

/** The last object of a log: nothing will follow. */
export const ArchiveEnd = Type.Object({
  v: Type.Literal(1),
  bytes: Type.Integer({ minimum: 0, description: 'Archived' }),
  sha256: Type.String({ description: 'Of those bytes, hexadecimal' }),
  missing: Type.Integer({ minimum: 0, description: 'Bytes that the step wrote beyond them and that nobody sent' }),
});
export type ArchiveEnd = Static<typeof ArchiveEnd>;

export async function readArchiveEnd(objects: Objects, a: AttemptKey): Promise<ArchiveEnd | undefined> {
  const body = await objects.get(`${logPrefix(a)}end`);
  if (!body) return undefined;
  const end: unknown = JSON.parse(body.toString('utf8'));
  return Value.Check(ArchiveEnd, end) ? end : undefined;
}

export const writeArchiveEnd = async (objects: Objects, a: AttemptKey, end: ArchiveEnd): Promise<void> => {
  await objects.put(`${logPrefix(a)}end`, Buffer.from(`${JSON.stringify(end)}\n`));
};

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

/** 1: stdout, 2: stderr. */
export type Stream = 1 | 2;
export type Piece = { stream: Stream; bytes: Buffer };

const headBytes = 8;

/**
 * Takes apart what the engine sends for attach and logs: frames of a head (stream, length) and bytes. What arrives together and
 * belongs to one stream is given out together.
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach ("Stream format")
 */
export async function* demultiplex(source: AsyncIterable<unknown>): AsyncGenerator<Piece> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = chunk as Buffer;
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    let at = 0;
    let run: { stream: Stream; parts: Buffer[] } | undefined;
    while (held.length - at >= headBytes) {
      const end = at + headBytes + held.readUInt32BE(at + 4);
      if (end > held.length) break;
      const stream: Stream = held[at] === 2 ? 2 : 1;
      if (run && run.stream !== stream) {
        yield { stream: run.stream, bytes: Buffer.concat(run.parts) };
        run = undefined;
      }
      run ??= { stream, parts: [] };
      run.parts.push(held.subarray(at + headBytes, end));
      at = end;
    }
    held = held.subarray(at);
    if (run) yield { stream: run.stream, bytes: Buffer.concat(run.parts) };
  }
}

export type Span = { stream: Stream; bytes: number };

/**
 * In which order the pieces of stdout and stderr were taken, on disk before they are handed on. The engine keeps each stream byte for
 * byte, but not how the two followed each other here; with this an agent that is started again goes on at the exact byte.
 */
export type Order = {
  /** Bytes of both. */
  readonly total: number;
  spans: () => readonly Span[];
  /** Survives the end of the process when it returns, not that of the machine: then the step is gone too. */
  note: (stream: Stream, bytes: number) => void;
  close: () => void;
};

const lineBytes = 19;
const line = ({ stream, bytes }: Span): string => `${stream} ${String(bytes).padStart(16, '0')}\n`;

/** Opens the file, or makes it. It grows only when the stream changes: the last line is written over. */
export function openOrder(file: string): Order {
  const fd = openSync(file, 'a+', 0o600);
  closeSync(fd);
  const spans = readSpans(file);
  const out = openSync(file, 'r+');
  let total = spans.reduce((sum, s) => sum + s.bytes, 0);
  return {
    get total() {
      return total;
    },
    spans: () => spans,
    note: (stream, bytes) => {
      let last = spans.at(-1);
      if (last?.stream !== stream) {
        last = { stream, bytes: 0 };
        spans.push(last);
      }
      last.bytes += bytes;
      total += bytes;
      writeSync(out, line(last), (spans.length - 1) * lineBytes);
    },
    close: () => closeSync(out),
  };
}

function readSpans(file: string): Span[] {
  const spans: Span[] = [];
  for (const text of readFileSync(file, 'latin1').split('\n')) {
    const [, stream, bytes] = /^([12]) ([0-9]{16})$/.exec(text) ?? [];
    if (bytes === undefined) break;
    spans.push({ stream: stream === '2' ? 2 : 1, bytes: Number(bytes) });
  }
  return spans;
}

/** The same bytes of both streams, in the order that `spans` says; what comes after them as it comes. */
export async function* inOrder(spans: readonly Span[], pieces: AsyncIterable<Piece>): AsyncGenerator<Piece> {
  const waiting: Record<Stream, Buffer[]> = { 1: [], 2: [] };
  const todo = spans.filter((s) => s.bytes > 0).map((s) => ({ ...s }));
  let at = 0;
  const rest = function* (): Generator<Piece> {
    for (const stream of [1, 2] as const) for (const bytes of waiting[stream].splice(0)) yield { stream, bytes };
  };
  for await (const piece of pieces) {
    const before = todo[at];
    if (!before) {
      yield piece;
      continue;
    }
    waiting[piece.stream].push(piece.bytes);
    for (let span = todo[at]; span; span = todo[at]) {
      const first = waiting[span.stream].shift();
      if (!first) break;
      const bytes = first.subarray(0, span.bytes);
      if (bytes.length < first.length) waiting[span.stream].unshift(first.subarray(bytes.length));
      span.bytes -= bytes.length;
      if (span.bytes === 0) at += 1;
      yield { stream: span.stream, bytes };
    }
    if (at === todo.length) yield* rest();
  }
  yield* rest();
}

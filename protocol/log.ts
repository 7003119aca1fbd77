import { type Static, Type } from 'typebox';
import { AttemptKey, keyOf } from './task.ts';

/** Most bytes of output in one message of `LOGS`. */
export const maxChunkBytes = 64 * 1024;

export const logSubject = (a: AttemptKey): string => `log.${keyOf(a)}`;

/** The headers of a piece of an attempt's output; run, step and attempt are in the subject, the bytes are the body. */
export const LogChunk = Type.Object({
  offset: Type.Integer({ minimum: 0, description: 'Bytes of masked output before this chunk, so that a gap is visible' }),
  atMs: Type.Integer({ description: 'When its first byte was read, milliseconds since the epoch' }),
});
export type LogChunk = Static<typeof LogChunk>;
export const chunkHeaders = { offset: 'Thresh-Offset', atMs: 'Thresh-At' } as const;

/*
 * The agent's one WebSocket to a controller, `GET /api/agents/<agent>/logs`. Text frames hold one `FromAgent` or `ToAgent` (JSON);
 * binary frames go to the controller only and are `packChunk`ed output of a stream that was answered with `go`.
 */

/** open: ship this attempt's log, numbered `stream` on this socket. end: its output is `total` bytes long. */
export const FromAgent = Type.Union([
  Type.Object({
    type: Type.Literal('open'),
    stream: Type.Integer({ minimum: 0, maximum: 0xffff_ffff }),
    ...AttemptKey.properties,
    token: Type.String(),
  }),
  Type.Object({ type: Type.Literal('end'), stream: Type.Integer(), total: Type.Integer({ minimum: 0 }) }),
]);
export type FromAgent = Static<typeof FromAgent>;

/**
 * go: send from this offset on. stored: everything below is durable, free it. complete: all `total` bytes are.
 * refused: this log is not wanted (revoked attempt, bad token): drop it. later: not now (stream full, no NATS), open it again after `waitMs`.
 */
export const ToAgent = Type.Union([
  Type.Object({ type: Type.Literal('go'), stream: Type.Integer(), offset: Type.Integer({ minimum: 0 }) }),
  Type.Object({ type: Type.Literal('stored'), stream: Type.Integer(), offset: Type.Integer({ minimum: 0 }) }),
  Type.Object({ type: Type.Literal('complete'), stream: Type.Integer() }),
  Type.Object({ type: Type.Literal('refused'), stream: Type.Integer(), code: Type.String(), message: Type.String() }),
  Type.Object({
    type: Type.Literal('later'),
    stream: Type.Integer(),
    waitMs: Type.Integer({ minimum: 0 }),
    message: Type.String(),
  }),
]);
export type ToAgent = Static<typeof ToAgent>;

const headBytes = 20;

/** Binary frame: stream (u32), offset (u64), atMs (u64), big-endian, then the bytes. */
export function packChunk(stream: number, offset: number, atMs: number, bytes: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headBytes + bytes.length);
  frame.writeUInt32BE(stream, 0);
  frame.writeBigUInt64BE(BigInt(offset), 4);
  frame.writeBigUInt64BE(BigInt(atMs), 12);
  frame.set(bytes, headBytes);
  return frame;
}

/** @returns undefined for a frame too short to be one, or with numbers that no log can have */
export function unpackChunk(frame: Buffer): { stream: number; offset: number; atMs: number; bytes: Buffer } | undefined {
  if (frame.length < headBytes) return undefined;
  const offset = Number(frame.readBigUInt64BE(4));
  const atMs = Number(frame.readBigUInt64BE(12));
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(atMs)) return undefined;
  return { stream: frame.readUInt32BE(0), offset, atMs, bytes: frame.subarray(headBytes) };
}

/*
 * A viewer's WebSocket, `GET /api/runs/<run>/steps/<step>/log?attempt=N&offset=B&follow=1`: binary frames are the bytes in order,
 * from `offset` on, without a gap; text frames hold one `ToViewer`.
 */

/** at: where the first byte that follows stands. end: nothing will follow; `missing` bytes are known to be lost. A newer attempt begins with an `at` of its own. */
export const ToViewer = Type.Union([
  Type.Object({ type: Type.Literal('at'), attempt: Type.Integer(), offset: Type.Integer({ minimum: 0 }) }),
  Type.Object({
    type: Type.Literal('end'),
    attempt: Type.Integer(),
    total: Type.Integer(),
    missing: Type.Integer({ minimum: 0 }),
    state: Type.String(),
  }),
  Type.Object({ type: Type.Literal('error'), code: Type.String(), message: Type.String() }),
]);
export type ToViewer = Static<typeof ToViewer>;

import { setTimeout as sleep } from 'node:timers/promises';
import { JetStreamApiError, type JetStreamClient, JetStreamError } from '@nats-io/jetstream';
import { errors as natsClientErrors } from '@nats-io/transport-node';
import { type Delivery, deliverySubject } from '../../protocol/delivery.ts';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import { natsErrors, streams } from '../../protocol/streams.ts';
import type { Objects } from '../store/objects.ts';
import { window } from './window.ts';

/** The whole of accepting takes no longer than this, milliseconds: GitHub gives a webhook up after 10 s. */
export const acceptWithinMs = 8_000;
/** When a publish without an answer is sent again. What is sent while disconnected is lost by the client, so waiting longer helps nobody. */
const tryMs = 2_000;
/** More than this without an answer makes newer servers drop messages. */
const maxUnacknowledged = 1_000;

export type AcceptDeps = {
  js: Pick<JetStreamClient, 'publish'>;
  objects: Pick<Objects, 'put'>;
  /** What the server takes in one message, bytes; asked each time, since it comes from the server that is connected now. */
  maxPayloadBytes: () => number;
  /** Monotonic milliseconds. */
  now: () => number;
  /** How long accepting may take at most, milliseconds. */
  withinMs?: number;
};

/**
 * Stores a delivery unless one with its source and id is there. Durable when it resolves.
 * @param body the bytes of `payload` as they came, so that they are stored unchanged; absent: `payload` is written as JSON
 * @returns duplicate: one was there before, and nothing has changed
 * @throws FarmError UNAVAILABLE when it is not stored, or nobody can tell; accepting the same delivery again is harmless
 */
export type Accept = (delivery: Delivery, body?: Uint8Array) => Promise<{ duplicate: boolean }>;

export function accepting(deps: AcceptDeps): Accept {
  const places = window(maxUnacknowledged);
  return async (delivery, body) => {
    const deadline = deps.now() + (deps.withinMs ?? acceptWithinMs);
    const leftMs = () => Math.max(0, deadline - deps.now());
    if (!(await places.take(leftMs()))) throw unavailable('too much waits to be stored', 10);
    try {
      const message = await pack(delivery, body ?? bodyOf(delivery), deps, leftMs());
      return await publish(deliverySubject(delivery), message, deps, leftMs);
    } finally {
      places.give();
    }
  };
}

const bodyOf = (d: Delivery): Uint8Array | undefined =>
  d.payload === undefined ? undefined : Buffer.from(JSON.stringify(d.payload));

/** The message of a delivery; a big body is put into object storage first, for the message to name. */
async function pack(delivery: Delivery, body: Uint8Array | undefined, deps: AcceptDeps, withinMs: number): Promise<Uint8Array> {
  const { payload: _, ...rest } = delivery;
  if (!body) return Buffer.from(JSON.stringify(rest));
  if (body.length > Math.min(deps.maxPayloadBytes(), streamMaxMsgBytes) / 2) {
    const object = `deliveries/${delivery.source}/${delivery.id}`;
    await within(withinMs, deps.objects.put(object, body));
    return Buffer.from(JSON.stringify({ ...rest, object }));
  }
  return Buffer.concat([Buffer.from(`${JSON.stringify(rest).slice(0, -1)},"payload":`), body, Buffer.from('}')]);
}

const streamMaxMsgBytes = streams.find((s) => s.name === 'DELIVERIES')?.maxMsgBytes ?? 0;

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const late = sleep(ms, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`no answer within ${ms} ms`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    throw unavailable('object storage does not take the body', 10, error);
  } finally {
    stop.abort();
  }
}

/** Publishes until the server says what became of it. The condition makes repeating harmless, whatever became of the try before. */
async function publish(
  subject: string,
  message: Uint8Array,
  deps: AcceptDeps,
  leftMs: () => number,
): Promise<{ duplicate: boolean }> {
  let last: unknown;
  for (let unsure = false; leftMs() > 0; unsure = true) {
    try {
      await deps.js.publish(subject, message, {
        expect: { lastSubjectSequence: 0 },
        timeout: Math.max(1, Math.min(tryMs, leftMs())),
      });
      return { duplicate: false };
    } catch (error) {
      last = error;
      switch (meaningOf(error)) {
        case 'there':
          // After a try without an answer, what is there is most likely our own.
          return { duplicate: !unsure };
        case 'full':
          throw unavailable(`the stream DELIVERIES is full (${messageOf(error)})`, 60, error);
        case 'broken':
          throw unavailable(`NATS cannot store deliveries (${messageOf(error)})`, 10, error);
        case 'not-now':
          await sleep(Math.min(200, leftMs()));
          break;
        case 'no-answer':
      }
    }
  }
  throw unavailable(`NATS does not answer (${messageOf(last)})`, 10, last);
}

/** What an error of a publish says about the message. */
function meaningOf(error: unknown): 'there' | 'full' | 'not-now' | 'no-answer' | 'broken' {
  if (error instanceof JetStreamApiError) {
    if (error.code === natsErrors.wrongLastSequence) return 'there';
    if (error.code === natsErrors.streamFull) return /per subject/.test(error.message) ? 'there' : 'full';
    if (error.code === natsErrors.insufficientResources) return 'full';
    if (error.code === natsErrors.tooManyRequests) return 'not-now';
    return 'broken';
  }
  if (error instanceof natsClientErrors.TimeoutError) return 'no-answer';
  // "No responders": a cluster between two leaders, or no JetStream at all.
  const request = error instanceof Error && error.cause instanceof natsClientErrors.RequestError ? error.cause : error;
  if (request instanceof natsClientErrors.RequestError || error instanceof JetStreamError) return 'not-now';
  return 'broken';
}

const unavailable = (detail: string, afterS: number, cause?: unknown) =>
  new FarmError('UNAVAILABLE', { detail: `not stored: ${detail}`, afterS }, { cause });

import { type ConsumerMessages, DeliverPolicy, type JetStreamClient, type JsMsg } from '@nats-io/jetstream';
import type { Log } from './log.ts';

/**
 * The messages of a stream from a sequence on, in stored order, for ever: it reconnects, and recreates its consumer when that is lost.
 * @param fromSeq the first that is wanted; purged ones are passed over
 */
export async function* readStream(
  js: JetStreamClient,
  stream: 'DELIVERIES' | 'NOTICES',
  fromSeq: number,
  { signal, log }: { signal: AbortSignal; log: Log },
): AsyncGenerator<JsMsg> {
  let next = fromSeq;
  while (!signal.aborted) {
    let messages: ConsumerMessages | undefined;
    const close = () => void messages?.close();
    try {
      const consumer = await js.consumers.get(stream, {
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: Math.max(1, next),
      });
      messages = await consumer.consume({ max_messages: 1_000 });
      signal.addEventListener('abort', close);
      if (signal.aborted) return;
      for await (const m of messages) {
        if (m.seq < next) continue;
        next = m.seq + 1;
        yield m;
        if (signal.aborted) return;
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error, stream }, 'reading a stream failed; trying again');
    } finally {
      signal.removeEventListener('abort', close);
      await messages?.close();
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

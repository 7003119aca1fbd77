import { messageOf } from '../../protocol/errors.ts';
import { maxChunkBytes, packChunk, type ToAgent } from '../../protocol/log.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Controller } from './controller.ts';
import type { Shipped } from './ship.ts';
import type { Spool } from './spool.ts';

/** One attempt's log on its way, over one connection after another. */
export type Shipment = {
  readonly key: AttemptKey;
  readonly shipped: Promise<Shipped>;
  readonly unstoredBytes: number;
  /** Starts on a connection, as its stream `number`; what was open before is forgotten. */
  open: (controller: Controller, number: number) => void;
  /** The connection is gone. */
  interrupt: () => void;
  stop: () => Promise<void>;
};

export type ShipLog = {
  key: AttemptKey;
  token: string;
  spool: Spool;
  windowBytes: number;
  flushMs: number;
  log: (facts: object, message: string) => void;
  /** Asks to be opened again. */
  again: () => void;
};

/** What is under way on one connection. */
type Leg = {
  controller: Controller;
  number: number;
  /** The next byte to send; undefined until the controller has said from where. */
  sentTo: number | undefined;
  storedTo: number;
  toldEnd: boolean;
};

const readRetryMs = 1_000;

export function shipLog({ key, token, spool, windowBytes, flushMs, log, again }: ShipLog): Shipment {
  const shipped = Promise.withResolvers<Shipped>();
  let leg: Leg | undefined;
  let sending: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let storedTo = 0;
  let over = false;

  const leave = () => {
    clearTimeout(timer);
    timer = undefined;
    leg?.controller.forget(leg.number);
    leg = undefined;
  };
  const finish = (outcome: Shipped) => {
    if (over) return;
    over = true;
    leave();
    stopListening();
    spool
      .remove()
      .catch((error) => log({ ...key, detail: messageOf(error) }, 'a spool that is not needed any more cannot be deleted'))
      .finally(() => shipped.resolve(outcome));
  };
  const inAWhile = (ms: number, work: () => void) => {
    timer ??= setTimeout(() => {
      timer = undefined;
      work();
    }, ms);
  };

  /** Bytes that may be sent now. */
  const sendable = (l: Leg): number =>
    l.sentTo === undefined ? 0 : Math.min(spool.total - l.sentTo, l.storedTo + windowBytes - l.sentTo);

  /** Sends what fills chunks, and all there is when `flush`. */
  const send = async (l: Leg, flush: boolean) => {
    while (leg === l && l.sentTo !== undefined) {
      const room = sendable(l);
      if (room <= 0 || (room < maxChunkBytes && !flush && !spool.ended)) break;
      const from = l.sentTo;
      const piece = await spool.read(from, Math.min(room, maxChunkBytes));
      // Told to go elsewhere meanwhile.
      if (leg !== l || l.sentTo !== from) continue;
      if (!piece) break;
      l.sentTo = from + piece.bytes.length;
      await l.controller.send(packChunk(l.number, from, piece.atMs, piece.bytes));
    }
    if (leg === l && spool.ended && !l.toldEnd && l.sentTo !== undefined && l.sentTo >= spool.total) {
      l.toldEnd = true;
      await l.controller.send({ type: 'end', stream: l.number, total: spool.total });
    }
  };
  const push = (flush: boolean) => {
    const l = leg;
    if (!l || sending) return;
    sending = send(l, flush)
      .then(
        () => false,
        (error) => {
          log({ ...key, detail: messageOf(error) }, 'a spool cannot be read');
          return true;
        },
      )
      .then((failed) => {
        sending = undefined;
        if (!leg) return;
        if (failed) inAWhile(readRetryMs, () => push(true));
        else if (leg !== l) push(true);
        else if (sendable(leg) >= maxChunkBytes || (spool.ended && sendable(leg) > 0)) push(false);
        else if (sendable(leg) > 0) inAWhile(flushMs, () => push(true));
        else if (spool.ended && !leg.toldEnd && leg.sentTo === spool.total) push(true);
      });
  };
  /** More can be sent than before: at once when it fills a chunk or nothing more will come, else after `flushMs`. */
  const grown = () => {
    if (!leg || sending) return;
    if (spool.ended || sendable(leg) >= maxChunkBytes) push(false);
    else if (sendable(leg) > 0) inAWhile(flushMs, () => push(true));
  };
  const stopListening = spool.listen(grown);

  const stored = (l: Leg, offset: number) => {
    l.storedTo = offset;
    storedTo = offset;
    spool.free(offset).catch((error) => log({ ...key, detail: messageOf(error) }, 'a spool cannot be freed'));
  };
  const go = async (l: Leg, offset: number) => {
    l.sentTo = undefined;
    if (offset > spool.total) {
      log({ ...key, offset, total: spool.total }, 'the controller has more of a log than the spool; it goes on behind that');
      await spool.skipTo(offset);
      if (leg !== l) return;
    }
    stored(l, offset);
    l.sentTo = offset;
    l.toldEnd = false;
    push(true);
  };
  const hear = (l: Leg, message: ToAgent) => {
    if (leg !== l) return;
    switch (message.type) {
      case 'go':
        return void go(l, message.offset).catch((error) =>
          log({ ...key, detail: messageOf(error) }, 'a spool cannot be written'),
        );
      case 'stored':
        stored(l, Math.max(l.storedTo, message.offset));
        return grown();
      case 'complete':
        return finish({ key, outcome: 'complete' });
      case 'refused':
        log({ ...key, code: message.code, detail: message.message }, 'the controller refuses a log; it is dropped');
        return finish({ key, outcome: 'refused', code: message.code, message: message.message });
      case 'later':
        log({ ...key, detail: message.message, waitMs: message.waitMs }, 'the controller cannot take a log now');
        leave();
        return inAWhile(message.waitMs, again);
    }
  };

  return {
    key,
    shipped: shipped.promise,
    get unstoredBytes() {
      return Math.max(0, spool.total - storedTo);
    },
    open: (controller, number) => {
      if (over) return;
      leave();
      const l: Leg = { controller, number, sentTo: undefined, storedTo: 0, toldEnd: false };
      leg = l;
      controller.hear(number, (message) => hear(l, message));
      void controller.send({ type: 'open', stream: number, ...key, token });
    },
    interrupt: leave,
    stop: async () => {
      over = true;
      leave();
      stopListening();
      await sending;
      await spool.close();
    },
  };
}

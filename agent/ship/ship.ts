import type { AttemptKey } from '../../protocol/task.ts';
import { keyOf } from '../../protocol/task.ts';
import { type Controller, connectController, type Opened } from './controller.ts';
import { type Shipment, shipLog } from './ship-log.ts';
import type { Spool } from './spool.ts';

export type ShipOptions = {
  /** Base URLs of controllers (`http://host:port`), any of which takes logs. */
  urls: readonly string[];
  agent: string;
  /** For the log socket. A secret. */
  token: string;
  /** Opens a socket; default: `ws`. */
  connect?: (url: string, token: string) => Opened;
  log?: (facts: object, message: string) => void;
  times?: Partial<ShipTimes>;
  /** Bytes sent and not stored yet, per log. */
  windowBytes?: number;
  random?: () => number;
};

export type ShipTimes = {
  /** Output waits so long for more before it is sent, unless it fills a chunk. */
  flushMs: number;
  pingEveryMs: number;
  /** A controller not heard for so long is left. */
  deadMs: number;
  /** First and longest pause before the next controller is tried; each between half of it and all. */
  backoffMs: number;
  maxBackoffMs: number;
};
const defaultTimes: ShipTimes = { flushMs: 100, pingEveryMs: 5_000, deadMs: 10_000, backoffMs: 250, maxBackoffMs: 10_000 };

/** complete: all of the ended output is stored. refused: it is not wanted. Either way the spool is gone. */
export type Shipped =
  | { key: AttemptKey; outcome: 'complete' }
  | { key: AttemptKey; outcome: 'refused'; code: string; message: string };

export type Shipping = {
  /**
   * Ships an attempt's output until its end is stored; the spool belongs to the shipping from here on. Again with the same attempt: the
   * same promise. Never rejects; stays pending when shipping stops before.
   */
  add: (key: AttemptKey, token: string, spool: Spool) => Promise<Shipped>;
  /** Attempts whose output is not stored to its end, and how much of it is not, as far as known. */
  pending: () => { key: AttemptKey; unstoredBytes: number }[];
  /** Leaves the spools as they are, for the next start, and closes them. */
  stop: () => Promise<void>;
};

/** Ships the logs of one agent over one WebSocket to one controller at a time. */
export function startShipping(options: ShipOptions): Shipping {
  const { log = () => {}, windowBytes = 1024 * 1024, random = Math.random } = options;
  const times = { ...defaultTimes, ...options.times };
  const shipments = new Map<string, Shipment>();
  let controller: Controller | undefined;
  /** Numbers are never used again on one socket, so that what is late is known as such. */
  let number = 0;
  const stopped = new AbortController();

  const openOn = (c: Controller, shipment: Shipment) => shipment.open(c, number++);

  const keepConnected = async () => {
    for (let [i, failures] = [0, 0]; !stopped.signal.aborted; i++) {
      const url = options.urls[i % options.urls.length] ?? '';
      const connection = connectController({
        url,
        agent: options.agent,
        token: options.token,
        times,
        connect: options.connect,
        log,
      });
      const stop = () => connection.close();
      stopped.signal.addEventListener('abort', stop);
      if (await connection.opened) {
        const sinceMs = performance.now();
        controller = connection;
        number = 0;
        for (const shipment of shipments.values()) openOn(connection, shipment);
        const why = await connection.closed;
        controller = undefined;
        failures = performance.now() - sinceMs > times.deadMs ? 0 : failures + 1;
        for (const shipment of shipments.values()) shipment.interrupt();
        if (!stopped.signal.aborted) log({ url, why }, 'the controller that takes the logs is gone');
      } else failures++;
      stopped.signal.removeEventListener('abort', stop);
      const pauseMs = Math.min(times.maxBackoffMs, times.backoffMs * 2 ** Math.min(10, failures));
      await pause(pauseMs * (0.5 + random() / 2), stopped.signal);
    }
  };
  const connected = keepConnected();

  return {
    add: (key, token, spool) => {
      const name = keyOf(key);
      const before = shipments.get(name);
      if (before) return before.shipped;
      const shipment = shipLog({
        key,
        token,
        spool,
        windowBytes,
        flushMs: times.flushMs,
        log,
        again: () => controller && openOn(controller, shipment),
      });
      shipments.set(name, shipment);
      if (controller) openOn(controller, shipment);
      return shipment.shipped.then((outcome) => {
        shipments.delete(name);
        return outcome;
      });
    },
    pending: () => [...shipments.values()].map(({ key, unstoredBytes }) => ({ key, unstoredBytes })),
    stop: async () => {
      stopped.abort();
      await connected;
      await Promise.all([...shipments.values()].map((s) => s.stop()));
      shipments.clear();
    },
  };
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, signal.aborted ? 0 : ms);
    signal.addEventListener('abort', end);
  });

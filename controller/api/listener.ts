import type { WebSocket } from 'ws';

/** A page at the other end of a WebSocket that only listens. */
export type Listener<T> = {
  /** Sends messages (JSON) in order. To one that does not keep up nothing is sent until it has; then it gets `missed` instead. */
  say: (texts: readonly string[]) => void;
  readonly _?: T;
};

/** Bytes under way to a listener beyond which it counts as slow. */
const maxBufferedBytes = 1024 * 1024;
const pingEveryMs = 15_000;
/** A listener that has answered no ping for so long is cut off. */
const stuckMs = 60_000;
/** Then it has to come again, with a login that is still good. */
const maxAgeMs = 3_600_000;

export function listener<T>(socket: WebSocket, o: { missed: () => T | undefined; left: () => void }): Listener<T> {
  let behind = false;
  let heardAtMs = performance.now();
  const openedAtMs = heardAtMs;
  const caughtUp = () => {
    if (!behind || socket.bufferedAmount > 0 || socket.readyState !== socket.OPEN) return;
    behind = false;
    const news = o.missed();
    if (news !== undefined) send(JSON.stringify(news));
  };
  const send = (text: string) => socket.send(text, caughtUp);
  const timer = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs - heardAtMs > stuckMs) socket.terminate();
    else if (nowMs - openedAtMs > maxAgeMs) socket.close(1001, 'log in again');
    else socket.ping();
  }, pingEveryMs);
  socket.on('pong', () => {
    heardAtMs = performance.now();
  });
  socket.on('error', () => {});
  // It has nothing to say; what it says all the same is read and forgotten.
  socket.on('message', () => {});
  socket.on('close', () => {
    clearInterval(timer);
    o.left();
  });
  return {
    say: (texts) => {
      if (socket.readyState !== socket.OPEN) return;
      for (const text of texts) {
        if (behind) return;
        if (socket.bufferedAmount > maxBufferedBytes) behind = true;
        else send(text);
      }
    },
  };
}

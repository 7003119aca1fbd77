import { get } from './api.ts';

/** How long to wait before the next try, milliseconds. */
const firstWaitMs = 500;
const lastWaitMs = 10_000;

export type Link = 'connecting' | 'open' | 'lost';
export type SocketOptions = {
  /** Called for each connection, so that it can go on where the last one ended. */
  url: () => string;
  text: (message: string) => void;
  bytes?: (bytes: Uint8Array) => void;
  /** `again`: it was open before. */
  opened?: (again: boolean) => void;
  link?: (link: Link) => void;
};

/** A WebSocket that is opened again whenever it breaks; not after the farm has closed it with 1000. @returns closes it for good */
export function keepOpen(o: SocketOptions): () => void {
  let stopped = false;
  let waitMs = firstWaitMs;
  let wasOpen = false;
  let socket: WebSocket | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const connect = () => {
    const url = new URL(o.url(), window.location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const s = new WebSocket(url);
    socket = s;
    s.binaryType = 'arraybuffer';
    s.onopen = () => {
      waitMs = firstWaitMs;
      o.link?.('open');
      o.opened?.(wasOpen);
      wasOpen = true;
    };
    s.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (stopped) return;
      if (typeof data === 'string') o.text(data);
      else o.bytes?.(new Uint8Array(data));
    };
    s.onclose = ({ code }) => {
      if (stopped || code === 1000) return;
      o.link?.('lost');
      timer = setTimeout(connect, waitMs * (0.75 + Math.random() / 2));
      waitMs = Math.min(lastWaitMs, waitMs * 2);
      // A browser does not say why a socket was refused; the API does, when the login is over.
      void get('/api/session').catch(() => {});
    };
  };
  /** A machine that was asleep, or a network that is back, need not wait. */
  const hurry = () => {
    if (timer === undefined || document.hidden || socket?.readyState !== WebSocket.CLOSED) return;
    clearTimeout(timer);
    timer = undefined;
    connect();
  };
  window.addEventListener('online', hurry);
  document.addEventListener('visibilitychange', hurry);
  o.link?.('connecting');
  connect();
  return () => {
    stopped = true;
    clearTimeout(timer);
    window.removeEventListener('online', hurry);
    document.removeEventListener('visibilitychange', hurry);
    socket?.close();
  };
}

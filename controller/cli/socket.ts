import { createWebSocketStream, WebSocket } from 'ws';

/** Frames as they come: text frames are strings. Ends when the other side closes; throws when the connection breaks. */
export type Socket = AsyncIterable<string | Uint8Array> & {
  /** Ends the connection; the iteration ends too. */
  close(): void;
};

/** @throws SocketRefused when the server answers with HTTP; what the network says otherwise */
export type OpenSocket = (url: URL, headers: Record<string, string>, signal: AbortSignal) => Promise<Socket>;

/** The server did not change to WebSocket. */
export class SocketRefused extends Error {
  override name = 'SocketRefused';
  readonly status: number;
  readonly body: string;
  constructor(status: number, body: string) {
    super(`the server answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

const maxFrameBytes = 64 * 1024 * 1024;
const maxRefusalBytes = 64 * 1024;
const handshakeMs = 15_000;
/** A connection on which neither a frame nor a pong came for two of these is dead: TCP alone would not say so for hours. */
const pingEveryMs = 15_000;

/** With the `ws` package: the global WebSocket cannot send an Authorization header. Reading slowly slows the sender down. */
export const openSocket: OpenSocket = (url, headers, signal) =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const ws = new WebSocket(url, {
      headers,
      handshakeTimeout: handshakeMs,
      maxPayload: maxFrameBytes,
      perMessageDeflate: false,
      followRedirects: false,
    });
    const abort = () => ws.terminate();
    signal.addEventListener('abort', abort, { once: true });
    ws.once('close', () => signal.removeEventListener('abort', abort));
    ws.on('error', reject);
    ws.once('unexpected-response', (_request, response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > maxRefusalBytes) response.destroy();
      });
      response.once('close', () => {
        ws.terminate();
        reject(new SocketRefused(response.statusCode ?? 0, body));
      });
    });
    // Made before the first frame can arrive, so that none is lost.
    const frames = createWebSocketStream(ws, { readableObjectMode: true, readableHighWaterMark: 16 });
    frames.on('error', () => {});
    ws.once('open', () => {
      keepAlive(ws);
      resolve({ [Symbol.asyncIterator]: () => frames[Symbol.asyncIterator](), close: () => frames.destroy() });
    });
  });

function keepAlive(ws: WebSocket): void {
  let heard = true;
  const hear = () => {
    heard = true;
  };
  ws.on('pong', hear);
  ws.on('message', hear);
  const timer = setInterval(() => {
    // A reader that is slow by itself has paused the socket; then silence says nothing.
    if (!heard && !ws.isPaused) return ws.terminate();
    heard = false;
    ws.ping();
  }, pingEveryMs);
  ws.once('close', () => clearInterval(timer));
}

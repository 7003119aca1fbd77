import { Compile } from 'typebox/compile';
import WebSocket, { type RawData } from 'ws';
import { messageOf } from '../../protocol/errors.ts';
import { type FromAgent, ToAgent } from '../../protocol/log.ts';

/** What of `ws` is used. */
export type Opened = Pick<WebSocket, 'on' | 'send' | 'ping' | 'terminate' | 'readyState'>;

/** A log socket to one controller. */
export type Controller = {
  /** Whether it could be opened; resolves in any case. */
  opened: Promise<boolean>;
  /** Why it is over; resolves when it is. */
  closed: Promise<string>;
  /** Sends a message or a packed chunk; resolves when it has left, or will never. */
  send: (frame: FromAgent | Buffer) => Promise<void>;
  /** Calls `hear` with what the controller says about a stream. */
  hear: (stream: number, hear: (message: ToAgent) => void) => void;
  forget: (stream: number) => void;
  close: () => void;
};

export type ConnectController = {
  url: string;
  agent: string;
  token: string;
  times: { pingEveryMs: number; deadMs: number };
  connect: ((url: string, token: string) => Opened) | undefined;
  log: (facts: object, message: string) => void;
};

const isToAgent = Compile(ToAgent);
const open = 1;

/** @param url the controller's base URL */
export function connectController({ url, agent, token, times, connect = dial, log }: ConnectController): Controller {
  const heard = new Map<number, (message: ToAgent) => void>();
  const opened = Promise.withResolvers<boolean>();
  const closed = Promise.withResolvers<string>();
  /** Resolve the sends that are under way. */
  const leaving = new Set<() => void>();
  let socket: Opened;
  let heardAtMs = performance.now();
  let over = false;
  const end = (why: string) => {
    if (over) return;
    over = true;
    clearInterval(pinging);
    clearInterval(watching);
    socket?.terminate();
    for (const left of leaving) left();
    opened.resolve(false);
    closed.resolve(why);
  };
  const alive = () => {
    heardAtMs = performance.now();
  };
  const pinging = setInterval(() => socket.readyState === open && socket.ping(), times.pingEveryMs);
  // Also ends an attempt to connect that nobody answers.
  const watching = setInterval(() => {
    if (performance.now() - heardAtMs > times.deadMs) end(`silent for ${times.deadMs} ms`);
  }, times.deadMs / 10);

  try {
    socket = connect(logUrl(url, agent), token);
    socket.on('open', () => {
      alive();
      opened.resolve(true);
    });
    socket.on('pong', alive);
    socket.on('error', (error: Error) => {
      log({ url, detail: error.message }, 'the log socket failed');
      end(error.message);
    });
    socket.on('close', (code: number, reason: Buffer) => end(`closed (${code} ${reason.toString()})`));
    socket.on('message', (data: RawData, isBinary: boolean) => {
      alive();
      const message = isBinary ? undefined : parse(data);
      if (isToAgent.Check(message)) heard.get(message.stream)?.(message);
      else end('it does not speak as a controller does');
    });
  } catch (error) {
    log({ url, detail: messageOf(error) }, 'the log socket failed');
    end(messageOf(error));
  }

  return {
    opened: opened.promise,
    closed: closed.promise,
    send: (frame) =>
      new Promise((resolve) => {
        if (over || socket.readyState !== open) return resolve();
        const left = () => {
          leaving.delete(left);
          resolve();
        };
        leaving.add(left);
        socket.send(Buffer.isBuffer(frame) ? frame : JSON.stringify(frame), left);
      }),
    hear: (stream, hear) => heard.set(stream, hear),
    forget: (stream) => heard.delete(stream),
    close: () => end('stopped'),
  };
}

const logUrl = (base: string, agent: string): string => {
  const url = new URL(`/api/agents/${encodeURIComponent(agent)}/logs`, base);
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:';
  return url.href;
};

const dial = (url: string, token: string): Opened =>
  new WebSocket(url, {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
    maxPayload: 64 * 1024,
    followRedirects: false,
  });

function parse(data: RawData): unknown {
  try {
    return JSON.parse(data.toString());
  } catch {
    return undefined;
  }
}

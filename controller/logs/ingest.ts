import { Compile } from 'typebox/compile';
import type { RawData, WebSocket } from 'ws';
import { type ErrorCode, type Facts, FarmError } from '../../protocol/errors.ts';
import { FromAgent, maxChunkBytes, type ToAgent, unpackChunk } from '../../protocol/log.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Keys } from '../store/keys.ts';
import { type Log, silent } from '../store/log.ts';
import { type AppendDeps, type Appender, appendLog } from './append-log.ts';

/**
 * Whether an agent may send the log of an attempt. ended: up to that many bytes, which its final notice states. revoked: lost, or given
 * to another agent. unknown: not in this replica's state, which may be behind.
 */
export type LogRight = 'open' | { ended: number } | 'revoked' | 'unknown';

export type IngestDeps = AppendDeps & {
  isAttemptToken: Keys['isAttemptToken'];
  /** Asked of this replica's confirmed state, again for every chunk. */
  lookup: (agent: string, key: AttemptKey) => LogRight;
  /** Resolves at the next change of that state. */
  changed: () => Promise<void>;
  now: () => number;
  log?: Log;
  limits?: Partial<IngestLimits>;
};

export type IngestLimits = {
  /** How long an attempt may be unknown. */
  unknownMs: number;
  /** What an agent is told to wait after `later`. */
  laterMs: number;
  /** Bytes not stored yet at which the socket is no longer read; it is read again at half of it. */
  maxQueuedBytes: number;
  maxStreams: number;
  /** An agent pings; one that was not heard for so long is gone. */
  silentMs: number;
};
const defaults: IngestLimits = {
  unknownMs: 5_000,
  laterMs: 2_000,
  maxQueuedBytes: 4 * 1024 * 1024,
  maxStreams: 1_000,
  silentMs: 30_000,
};

/** Set it on the WebSocket server: no frame of an agent is larger. */
export const maxAgentFrameBytes = maxChunkBytes + 1024;
const maxTextBytes = 4096;
const isFromAgent = Compile(FromAgent);
const badFrame = 1008;

type LogStream = {
  number: number;
  key: AttemptKey;
  /** Absent while the right to it is being checked. */
  appender?: Appender;
  /** As the agent's `end` says. */
  total?: number;
  storedTo: number;
  /** Told to go somewhere and not heard from there yet: what comes from elsewhere was sent before it knew. */
  redirected: boolean;
};

/**
 * Serves the log socket of one agent, whose own token has been checked: stores what comes in order and answers as protocol/log.ts says.
 * Ends with the socket. Whatever an agent sends costs it at most its socket.
 */
export function ingest(socket: WebSocket, agent: string, deps: IngestDeps): void {
  const limits = { ...defaults, ...deps.limits };
  const log = deps.log ?? silent;
  const streams = new Map<number, LogStream>();
  let highest = -1;
  let heardAtMs = deps.now();
  const closed = new AbortController();

  const say = (message: ToAgent) => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
  };
  const close = (reason: string) => {
    log.warn({ agent, reason }, 'the log socket of an agent is closed');
    socket.close(badFrame, reason);
  };
  const finish = (s: LogStream, message: ToAgent) => {
    s.appender?.stop();
    streams.delete(s.number);
    say(message);
    pace();
  };
  const refuse = <C extends ErrorCode>(s: LogStream, code: C, facts: Facts<C>) => {
    const error = new FarmError(code, facts);
    log.warn({ agent, ...s.key, code }, 'a log is refused');
    finish(s, { type: 'refused', stream: s.number, code, message: error.message });
  };
  const later = (s: LogStream, message: string) =>
    finish(s, { type: 'later', stream: s.number, waitMs: limits.laterMs, message });

  const pace = () => {
    let queued = 0;
    for (const s of streams.values()) queued += s.appender?.queuedCost ?? 0;
    if (queued >= limits.maxQueuedBytes && !socket.isPaused) socket.pause();
    else if (queued <= limits.maxQueuedBytes / 2 && socket.isPaused) {
      heardAtMs = deps.now();
      socket.resume();
    }
  };

  /** How long the log may get; undefined when it was refused. */
  const room = (s: LogStream): number | undefined => {
    const right = deps.lookup(agent, s.key);
    if (right === 'revoked') return void refuse(s, 'LOG_REVOKED', s.key);
    return typeof right === 'object' ? right.ended : Number.MAX_SAFE_INTEGER;
  };
  const completeIfAll = (s: LogStream) => {
    const right = deps.lookup(agent, s.key);
    const total = s.total ?? (typeof right === 'object' ? right.ended : undefined);
    if (total !== undefined && s.storedTo >= total) finish(s, { type: 'complete', stream: s.number });
  };

  const known = async (key: AttemptKey): Promise<boolean> => {
    const over = AbortSignal.any([AbortSignal.timeout(limits.unknownMs), closed.signal]);
    const aborted = new Promise<void>((resolve) => over.addEventListener('abort', () => resolve()));
    while (deps.lookup(agent, key) === 'unknown') {
      if (over.aborted) return false;
      await Promise.race([deps.changed(), aborted]);
    }
    return true;
  };

  const open = async ({ stream: number, token, run, step, attempt }: Extract<FromAgent, { type: 'open' }>) => {
    if (number <= highest) return close(`stream ${number} was open before`);
    highest = number;
    const s: LogStream = { number, key: { run, step, attempt }, storedTo: 0, redirected: false };
    streams.set(number, s);
    if (streams.size > limits.maxStreams) return later(s, `more than ${limits.maxStreams} logs at once`);
    if (!deps.isAttemptToken(token, agent, s.key)) return refuse(s, 'LOG_TOKEN', s.key);
    // Not refused: the token is genuine, so it is this replica that does not know yet, and an agent drops what is refused.
    if (!(await known(s.key))) return streams.has(number) && later(s, new FarmError('LOG_UNKNOWN', s.key).message);
    if (!streams.has(number) || room(s) === undefined) return;
    s.appender = appendLog(s.key, deps, {
      go: (offset) => {
        s.storedTo = offset;
        s.redirected = true;
        say({ type: 'go', stream: number, offset });
        completeIfAll(s);
        pace();
      },
      stored: (offset) => {
        s.storedTo = offset;
        say({ type: 'stored', stream: number, offset });
        completeIfAll(s);
        pace();
      },
      later: (message) => later(s, message),
    });
  };

  const chunk = (frame: Buffer) => {
    const parts = unpackChunk(frame);
    if (!parts) return close('a binary frame is no chunk');
    if (parts.bytes.length > maxChunkBytes) return close(`a chunk has more than ${maxChunkBytes} bytes`);
    if (parts.stream > highest) return close(`stream ${parts.stream} is not open`);
    const s = streams.get(parts.stream);
    // Finished, or about to be told where to go: it was under way.
    if (s?.appender?.want === undefined) return;
    const end = room(s);
    if (end === undefined) return;
    if (parts.offset !== s.appender.want) {
      if (s.redirected) return;
      s.redirected = true;
      log.warn({ agent, ...s.key, offset: parts.offset, want: s.appender.want }, 'a chunk of a log does not follow');
      return say({ type: 'go', stream: s.number, offset: s.appender.want });
    }
    s.redirected = false;
    if (parts.offset + parts.bytes.length > end) return refuse(s, 'LOG_TOO_LONG', { total: end });
    s.appender.push(parts.atMs, parts.bytes);
    pace();
  };

  const text = (frame: Buffer) => {
    if (frame.length > maxTextBytes) return close('a text frame is too long');
    const message = parse(frame);
    if (!isFromAgent.Check(message)) return close('a text frame is no message of an agent');
    if (message.type === 'open') return void open(message);
    const s = streams.get(message.stream);
    if (!s) return message.stream > highest ? close(`stream ${message.stream} is not open`) : undefined;
    s.total = message.total;
    if (s.appender?.want !== undefined) completeIfAll(s);
  };

  const watch = setInterval(() => {
    if (!socket.isPaused && deps.now() - heardAtMs > limits.silentMs) socket.terminate();
  }, limits.silentMs / 4);
  socket.on('message', (data: RawData, isBinary: boolean) => {
    heardAtMs = deps.now();
    if (socket.readyState !== socket.OPEN) return;
    const frame = bufferOf(data);
    if (isBinary) chunk(frame);
    else text(frame);
  });
  socket.on('ping', () => {
    heardAtMs = deps.now();
  });
  socket.on('error', (error) => log.debug({ agent, err: error }, 'the log socket of an agent failed'));
  socket.on('close', () => {
    clearInterval(watch);
    closed.abort();
    for (const s of streams.values()) s.appender?.stop();
    streams.clear();
  });
}

const bufferOf = (data: RawData): Buffer =>
  Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);

function parse(frame: Buffer): unknown {
  try {
    return JSON.parse(frame.toString('utf8'));
  } catch {
    return undefined;
  }
}

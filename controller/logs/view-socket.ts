import { Readable } from 'node:stream';
import type { WebSocket } from 'ws';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import type { ToViewer } from '../../protocol/log.ts';
import { type Log, silent } from '../store/log.ts';
import { bell } from './bell.ts';
import { type LogEnd, type ReadLog, readLog, type ViewDeps } from './view.ts';

export type ServeViewer = {
  run: string;
  step: string;
  /** Absent: the newest, and when it is followed, each newer one in turn. */
  attempt?: number;
  offset?: number;
  follow?: boolean;
};

export type ViewerDeps = ViewDeps & {
  /** The number of the step's newest attempt (0: it has none yet), and whether another may come. undefined: there is no such step. */
  newest: (run: string, step: string) => { attempt: number; more: boolean } | undefined;
  limits?: Partial<ViewerLimits>;
};

export type ViewerLimits = {
  pingEveryMs: number;
  /** A viewer that took no byte and answered no ping for so long is cut off. */
  stuckMs: number;
  /** Bytes under way to a viewer at which it is waited for. */
  maxBufferedBytes: number;
};
const defaults: ViewerLimits = { pingEveryMs: 15_000, stuckMs: 60_000, maxBufferedBytes: 512 * 1024 };

/** Sends a log to a viewer as protocol/log.ts says, at the pace at which it takes it. Resolves when the socket is closed or closing. */
export async function serveViewer(socket: WebSocket, request: ServeViewer, deps: ViewerDeps): Promise<void> {
  const { run, step, follow = false } = request;
  const log: Log = deps.log ?? silent;
  const gone = new AbortController();
  const out = paced(socket, { ...defaults, ...deps.limits }, gone);
  try {
    let attempt = request.attempt ?? (await nextAttempt(request, 0, gone.signal, deps));
    let offset = request.offset ?? 0;
    while (attempt !== undefined && !gone.signal.aborted) {
      const key = { run, step, attempt };
      out.say({ type: 'at', attempt, offset });
      const { at, known } = await copy({ key, offset, follow, signal: gone.signal }, deps, out);
      const next: number | undefined =
        request.attempt === undefined && follow ? await nextAttempt(request, attempt, gone.signal, deps) : undefined;
      if (next === undefined) {
        const state = deps.lookup(key)?.state ?? 'unknown';
        out.say({ type: 'end', attempt, ...(known ?? { total: at, missing: 0, state }) });
        break;
      }
      [attempt, offset] = [next, 0];
    }
    if (attempt === undefined) {
      const error = new FarmError('NOT_FOUND', { what: `log of run ${run}, step '${step}'` });
      out.say({ type: 'error', code: error.code, message: error.message });
    }
    socket.close(1000);
  } catch (error) {
    if (gone.signal.aborted) return;
    const code = error instanceof FarmError ? error.code : 'INTERNAL';
    if (code === 'INTERNAL') log.error({ err: error, run, step }, 'showing a log failed');
    out.say({ type: 'error', code, message: code === 'INTERNAL' ? 'the log cannot be shown now' : messageOf(error) });
    socket.close(1011);
  } finally {
    out.stop();
  }
}

/** A follower looks at least so often whether there is a newer attempt. */
const lookEveryMs = 60_000;

/** The step's newest attempt if it is newer than `after`; a follower waits for it as long as one may come. */
async function nextAttempt(
  { run, step, follow }: ServeViewer,
  after: number,
  signal: AbortSignal,
  { newest, changed }: ViewerDeps,
): Promise<number | undefined> {
  const { ring, wait } = bell();
  while (!signal.aborted) {
    const change = changed();
    const found = newest(run, step);
    if (found && found.attempt > after) return found.attempt;
    if (!follow || !found?.more) return undefined;
    void change.then(ring, ring);
    await wait(lookEveryMs, signal);
  }
  return undefined;
}

/** The same bytes for a plain HTTP answer. It ends with the log, with what is stored now (no `follow`), or with `signal`. */
export function logReadable(options: ReadLog, deps: ViewDeps): Readable {
  const bytes = async function* () {
    for await (const piece of readLog(options, deps)) yield piece.bytes;
  };
  return Readable.from(bytes(), { objectMode: false, highWaterMark: 256 * 1024 });
}

async function copy(options: ReadLog, deps: ViewDeps, out: Paced): Promise<{ at: number; known: LogEnd | undefined }> {
  const pieces = readLog(options, deps);
  let at = options.offset ?? 0;
  for (;;) {
    const { done, value } = await pieces.next();
    if (done) return { at, known: value };
    at = value.offset + value.bytes.length;
    await out.send(value.bytes);
  }
}

type Paced = { say: (message: ToViewer) => void; send: (bytes: Uint8Array) => Promise<void>; stop: () => void };

/** Pings a viewer, waits while too much is under way to it, and cuts it off when nothing moves any more. */
function paced(socket: WebSocket, limits: ViewerLimits, gone: AbortController): Paced {
  let movedAtMs = performance.now();
  const moved = () => {
    movedAtMs = performance.now();
  };
  const timer = setInterval(
    () => {
      if (performance.now() - movedAtMs > limits.stuckMs) socket.terminate();
      else if (socket.readyState === socket.OPEN) socket.ping();
    },
    Math.min(limits.pingEveryMs, limits.stuckMs),
  );
  socket.on('pong', moved);
  socket.on('error', () => {});
  socket.on('close', () => gone.abort());
  if (socket.readyState !== socket.OPEN) gone.abort();
  return {
    say: (message) => {
      if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
    },
    send: (bytes) =>
      new Promise((resolve) => {
        // Called with an error too, when the socket has closed: `gone` tells.
        const sent = () => {
          moved();
          resolve();
        };
        if (socket.readyState !== socket.OPEN) return resolve();
        socket.send(bytes, { binary: true }, sent);
        if (socket.bufferedAmount < limits.maxBufferedBytes) resolve();
      }),
    stop: () => {
      clearInterval(timer);
      socket.off('pong', moved);
    },
  };
}

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { CliDeps } from '../../../controller/cli/cli.ts';
import { type Actions, runProgram } from '../../../controller/cli/program.ts';
import type { Run } from '../../../protocol/run.ts';

/** Something to print on that keeps what was printed. */
export class Screen extends Writable {
  readonly isTTY: boolean;
  readonly columns: number | undefined;
  readonly pieces: Buffer[] = [];
  private readonly waiting = new Set<() => void>();
  constructor(o: { tty?: boolean; columns?: number } = {}) {
    super();
    this.isTTY = o.tty ?? false;
    this.columns = o.columns;
  }
  override _write(piece: Buffer, _: BufferEncoding, done: () => void): void {
    this.pieces.push(Buffer.from(piece));
    done();
    for (const wake of [...this.waiting]) wake();
  }
  get bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }
  get text(): string {
    return this.bytes.toString('utf8');
  }
  /** Resolves when `text` has been printed. */
  async says(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.waiting.add(resolve);
      await promise;
      this.waiting.delete(resolve);
    }
  }
}

export type Asked = { method: string; path: string; query: URLSearchParams; headers: IncomingMessage['headers']; body: string };
type Answer = { status?: number; body: unknown };
/** Undefined: it has written the response itself. */
type Answerer = (asked: Asked, response: ServerResponse) => Answer | undefined;

/** A farm that answers what a test tells it to, over real HTTP and WebSockets. */
export type FakeFarm = {
  url: string;
  asked: Asked[];
  /** What `GET /api/runs` or the like is answered with. The last one said counts. */
  on(route: string, answer: Answer | Answerer): void;
  /** Called for each viewer's WebSocket; absent: 404. */
  onSocket: ((socket: WebSocket, asked: Asked) => void) | undefined;
  /** Answers an upgrade with HTTP instead. */
  refuseSocket: ((asked: Asked) => { status: number; body: unknown } | undefined) | undefined;
  [Symbol.asyncDispose](): Promise<void>;
};

const notFound = { status: 404, body: { error: { code: 'NOT_FOUND', message: 'there is no such thing' } } };

export async function fakeFarm(): Promise<FakeFarm> {
  const routes = new Map<string, Answer | Answerer>();
  const open = new Set<Socket>();
  const sockets = new WebSocketServer({ noServer: true });
  const read = (request: IncomingMessage, body: string): Asked => {
    const url = new URL(request.url ?? '/', 'http://farm');
    return { method: request.method ?? '', path: url.pathname, query: url.searchParams, headers: request.headers, body };
  };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    const asked = read(request, body);
    farm.asked.push(asked);
    const found = routes.get(`${asked.method} ${asked.path}`) ?? notFound;
    const answer = typeof found === 'function' ? found(asked, response) : found;
    if (!answer) return;
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' });
    response.end(Buffer.isBuffer(answer.body) ? answer.body : JSON.stringify(answer.body));
  });
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    const asked = read(request, '');
    farm.asked.push(asked);
    const refused = farm.refuseSocket?.(asked) ?? (farm.onSocket ? undefined : notFound);
    if (!refused) return sockets.handleUpgrade(request, socket, head, (ws) => farm.onSocket?.(ws, asked));
    const body = JSON.stringify(refused.body);
    socket.end(`HTTP/1.1 ${refused.status} No\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const farm: FakeFarm = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    on: (route, answer) => void routes.set(route, answer),
    onSocket: undefined,
    refuseSocket: undefined,
    [Symbol.asyncDispose]: async () => {
      for (const ws of sockets.clients) ws.terminate();
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return farm;
}

export const nowMs = Date.UTC(2026, 0, 2, 12, 0, 0);

const unexpected = async (): Promise<never> => {
  throw new Error('not expected here');
};
export const noActions: Actions = {
  up: unexpected,
  controller: unexpected,
  agent: unexpected,
  natsConfig: unexpected,
  check: unexpected,
};

export type Ran = { code: number; out: string; err: string; bytes: Buffer };
type Running = { out: Screen; err: Screen; done: Promise<Ran>; interrupt: () => void };

/** Runs `thresh` with these arguments, without a token, a home or a clock of its own. */
export function begin(args: readonly string[], o: Partial<CliDeps> & { tty?: boolean; columns?: number } = {}): Running {
  const { tty, columns, ...deps } = o;
  const screen = { ...(tty === undefined ? {} : { tty }), ...(columns === undefined ? {} : { columns }) };
  const [out, err] = [new Screen(screen), new Screen(screen)];
  let stop: (() => void) | undefined;
  const done = runProgram(
    {
      out,
      err,
      env: {},
      version: '1.2.3',
      actions: noActions,
      cwd: '/nowhere',
      now: () => nowMs,
      sleep: (_, signal) => new Promise((resolve, reject) => (signal.aborted ? reject(signal.reason) : setImmediate(resolve))),
      onInterrupt: (listener) => {
        stop = listener;
        return () => {
          stop = undefined;
        };
      },
      ...deps,
    },
    args,
  ).then((code) => ({ code, out: out.text, err: err.text, bytes: out.bytes }));
  return { out, err, done, interrupt: () => stop?.() };
}

export const thresh = (args: readonly string[], o: Parameters<typeof begin>[1] = {}): Promise<Ran> => begin(args, o).done;

/** A directory that is gone after the test. */
export async function someDir(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-cli-'));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

export const runId = '1905522071432466432';

/** A run with these steps; each has the attempts that are given for it. */
export function someRun(steps: Record<string, Partial<Run['at'][number]>>, more: Partial<Run> = {}): Run {
  const names = Object.keys(steps);
  return {
    id: runId,
    job: 'unit',
    type: 'manual',
    context: 'unit',
    optional: false,
    skipReport: false,
    trusted: true,
    priority: 'normal',
    workspace: 'local',
    maxConcurrency: 0,
    by: 'ada',
    delivery: 'person/d1',
    createdAtMs: nowMs - 65_000,
    startedAtMs: nowMs - 60_000,
    steps: names.map((name) => ({ name, needs: [], when: 'success', finally: false, retries: 0, queue: 'default' })),
    spec: { inline: [] },
    state: 'running',
    n: 1,
    round: 1,
    at: names.map((name) => ({ name, state: 'running', attempts: [], ...steps[name] })),
    archived: false,
    ...more,
  };
}

export const someAttempt = (attempt: number, state: Run['at'][number]['attempts'][number]['state'] = 'running') => ({
  attempt,
  round: 1,
  agent: 'node-1',
  state,
  assignedAtMs: nowMs - 50_000,
  startedAtMs: nowMs - 50_000,
  ...(state === 'running' ? {} : { endedAtMs: nowMs - 40_000 }),
});

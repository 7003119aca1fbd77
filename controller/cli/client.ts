import { Value } from 'typebox/value';
import { ApiError } from '../../protocol/api.ts';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import type { Shape } from './answers.ts';
import { Refusal, usage } from './exit.ts';
import { type OpenSocket, type Socket, SocketRefused } from './socket.ts';
import { plain } from './text.ts';

/** Segments after the farm's address; each is encoded. */
export type Path = readonly string[];
export type Query = Readonly<Record<string, string | number | undefined>>;
export type Body = { bytes: Uint8Array | string; headers: Record<string, string> };

/**
 * The farm behind one or several addresses. Each request goes to the replica that answered last, then to the others in order;
 * one that may have been heard is not said twice unless saying it twice does no harm.
 * All throw Refusal when the farm says no, FarmError FARM_UNREACHABLE, ANSWER_LOST or BAD_ANSWER when it says nothing that helps,
 * and the signal's reason when that has aborted.
 */
export type FarmClient = {
  /** The address that answers, with a slash at its end. */
  url(): URL;
  get<T>(path: Path, query: Query, shape: Shape<T>): Promise<T>;
  /** @param repeatable asking twice is the same as asking once. look: what to do when it is not known whether it was heard */
  post<T>(path: Path, body: unknown, shape: Shape<T>, o: { repeatable: true } | { look: string }): Promise<T>;
  /** As `post`, repeatable, with a body that is not ours to encode. */
  send<T>(path: Path, body: Body, shape: Shape<T>): Promise<T>;
  /** As `post`, repeatable, with a file that may be big. */
  upload<T>(path: Path, file: Blob, shape: Shape<T>): Promise<T>;
  /** Throws while it is read when the connection breaks. */
  bytes(path: Path, query: Query, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  socket(path: Path, query: Query, signal: AbortSignal): Promise<Socket>;
};

export type ClientDeps = {
  urls: readonly URL[];
  token: string | undefined;
  fetch: typeof fetch;
  openSocket: OpenSocket;
  userAgent: string;
  signal: AbortSignal;
};

type RequestBody = Uint8Array | string | Blob;

/** An answer may take 10 s where a verdict is waited for. */
const answerMs = 30_000;
/** How long a controller waits for a big body. */
const uploadMs = 3_600_000;
const maxAnswerBytes = 64 * 1024 * 1024;

/** A replica could not be reached, or was lost. `heard`: it may have got the request. */
class Lost extends Error {
  override name = 'Lost';
  readonly url: URL;
  readonly heard: boolean;
  constructor(url: URL, detail: string, heard: boolean) {
    super(detail);
    this.url = url;
    this.heard = heard;
  }
}

export function farmClient(d: ClientDeps): FarmClient {
  let current = 0;
  const auth: Record<string, string> = d.token === undefined ? {} : { authorization: `Bearer ${d.token}` };

  async function overReplicas<T>(ask: (base: URL) => Promise<T>, o: { repeatable: true } | { look: string }): Promise<T> {
    let refusal: Refusal | undefined;
    let lost: Lost | undefined;
    for (let i = 0; i < d.urls.length; i++) {
      const at = (current + i) % d.urls.length;
      const base = d.urls[at];
      if (!base) continue;
      try {
        const answer = await ask(base);
        current = at;
        return answer;
      } catch (error) {
        d.signal.throwIfAborted();
        if (error instanceof Refusal && error.status >= 502 && 'repeatable' in o) refusal = error;
        else if (error instanceof Lost && (!error.heard || 'repeatable' in o)) lost = error;
        else if (error instanceof Lost && 'look' in o)
          throw new FarmError('ANSWER_LOST', { url: error.url.origin, detail: error.message, look: o.look }, { cause: error });
        else throw error;
      }
    }
    if (refusal) throw refusal;
    const detail = lost?.message ?? 'no address';
    throw new FarmError('FARM_UNREACHABLE', { urls: d.urls.map((u) => u.origin), detail }, { cause: lost });
  }

  /** Until the headers are here; `finish` then reads what it wants of the body, as long as `signal` allows. */
  async function fetched<T>(
    url: URL,
    init: { method: 'GET' | 'POST'; body?: RequestBody; headers: Record<string, string>; signal: AbortSignal; withinMs?: number },
    finish: (response: Response, heard: () => void) => Promise<T>,
  ): Promise<T> {
    const tooLate = new AbortController();
    const { withinMs = answerMs } = init;
    const timer = setTimeout(() => tooLate.abort(), withinMs);
    try {
      const response = await d.fetch(url, {
        method: init.method,
        headers: { 'user-agent': d.userAgent, accept: 'application/json, */*', ...init.headers },
        signal: AbortSignal.any([init.signal, tooLate.signal]),
        redirect: 'manual',
        ...(init.body === undefined ? {} : { body: init.body as string | Blob | Uint8Array<ArrayBuffer> }),
      });
      return await finish(response, () => clearTimeout(timer));
    } catch (error) {
      init.signal.throwIfAborted();
      if (tooLate.signal.aborted) throw new Lost(url, `no answer within ${withinMs / 1_000} s`, true);
      throw lostOr(url, error);
    } finally {
      clearTimeout(timer);
    }
  }

  const asked = <T>(base: URL, path: Path, query: Query, request: Request, shape: Shape<T>): Promise<T> => {
    const url = address(base, path, query);
    const init = { ...request, signal: d.signal };
    return fetched(url, init, async (response) => readAnswer(url, response.status, await bodyOf(url, response), shape));
  };
  type Request = { method: 'GET' | 'POST'; body?: RequestBody; headers: Record<string, string>; withinMs?: number };

  return {
    url: () => d.urls[current] ?? new URL('http://127.0.0.1'),
    get: (path, query, shape) =>
      overReplicas((base) => asked(base, path, query, { method: 'GET', headers: auth }, shape), { repeatable: true }),
    post: (path, body, shape, o) => {
      const headers = { ...auth, 'content-type': 'application/json' };
      return overReplicas((base) => asked(base, path, {}, { method: 'POST', headers, body: JSON.stringify(body) }, shape), o);
    },
    send: (path, { bytes, headers }, shape) =>
      overReplicas((base) => asked(base, path, {}, { method: 'POST', headers, body: bytes }, shape), { repeatable: true }),
    upload: (path, file, shape) => {
      const headers = { ...auth, 'content-type': 'application/octet-stream' };
      const request = { method: 'POST' as const, headers, body: file, withinMs: uploadMs };
      return overReplicas((base) => asked(base, path, {}, request, shape), { repeatable: true });
    },
    bytes: (path, query, signal) =>
      overReplicas(
        (base) => {
          const url = address(base, path, query);
          const init = { method: 'GET' as const, headers: auth, signal: AbortSignal.any([signal, d.signal]) };
          return fetched(url, init, async (response, heard) => {
            if (response.status !== 200) throw refusalOf(url, response.status, await bodyOf(url, response));
            heard();
            return response.body ?? [];
          });
        },
        { repeatable: true },
      ) as Promise<AsyncIterable<Uint8Array>>,
    socket: (path, query, signal) =>
      overReplicas(
        async (base) => {
          const url = address(base, path, query);
          url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
          try {
            const headers = { ...auth, 'user-agent': d.userAgent };
            return await d.openSocket(url, headers, AbortSignal.any([signal, d.signal]));
          } catch (error) {
            signal.throwIfAborted();
            if (error instanceof SocketRefused) throw refusalOf(base, error.status, error.body);
            throw lostOr(base, error);
          }
        },
        { repeatable: true },
      ),
  };
}

function address(base: URL, path: Path, query: Query): URL {
  // A URL drops such segments, so the request would be for something else.
  const odd = path.find((segment) => segment === '' || segment === '.' || segment === '..');
  if (odd !== undefined) throw usage(`'${odd}' cannot be a name`);
  const url = new URL(path.map(encodeURIComponent).join('/'), base);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

async function bodyOf(url: URL, response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > maxAnswerBytes)
      throw new FarmError('BAD_ANSWER', { url: url.origin, detail: `more than ${maxAnswerBytes} bytes` });
  }
  return text + decoder.decode();
}

function readAnswer<T>(url: URL, status: number, text: string, shape: Shape<T>): T {
  if (status < 200 || status > 299) throw refusalOf(url, status, text);
  const value = jsonOf(text);
  const wrong = value === undefined ? 'not JSON' : shape.wrong(value);
  if (wrong !== undefined) throw new FarmError('BAD_ANSWER', { url: url.origin, detail: plain(wrong) });
  return value as T;
}

/** What an answer that is no success means: the farm's own words where it is the farm. */
function refusalOf(url: URL, status: number, text: string): Error {
  const value = jsonOf(text);
  if (Value.Check(ApiError, value)) {
    const message = value.error.message.split('\n').map(plain).join('\n');
    return new Refusal(status, plain(value.error.code), message);
  }
  if (status >= 500) return new Refusal(status, 'UNAVAILABLE', `${url.origin} answered ${status}; is its controller running?`);
  return new FarmError('BAD_ANSWER', {
    url: url.origin,
    detail: `status ${status}${status === 404 ? ', nothing is there' : ''}`,
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Failures before a request can have been sent. */
const unsent: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within the time limit',
};

/** What fetch or a socket threw, as `Lost`; errors of ours stay what they are. */
function lostOr(url: URL, error: unknown): Error {
  if (error instanceof Refusal || error instanceof FarmError || error instanceof Lost) return error;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const known = unsent[code];
  return new Lost(url, known ?? (plain(messageOf(cause)) || code || 'connection lost'), known === undefined);
}

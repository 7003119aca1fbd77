import { Octokit } from '@octokit/core';
import { FarmError } from '../../protocol/errors.ts';
import { credentials, type GitHubAuth, type Repo } from './credentials.ts';
import { ETags } from './etags.ts';
import { failureOf } from './failure.ts';
import { type GitHubLog, Lane } from './lane.ts';
import type { Limits } from './pace.ts';

export type GitHubSettings = {
  /** Of the REST API: `https://api.github.com`, or `https://HOST/api/v3` of a GitHub Enterprise Server. */
  api: string;
  auth: GitHubAuth;
  limits: Limits;
};

export type GitHubDeps = {
  log: GitHubLog;
  /** Monotonic milliseconds. */
  now: () => number;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  fetch: typeof fetch;
  /** Names this program and this controller to GitHub. */
  userAgent: string;
};

/** Path templates are those of GitHub's reference, `{owner}` and `{repo}` from the repository. */
export type Write = {
  route: `POST ${string}` | `PUT ${string}` | `PATCH ${string}` | `DELETE ${string}`;
  parameters: Record<string, unknown>;
};

export type WriteOptions = {
  /** Before others, and from the part of an hour's writes that is kept for such. */
  urgent: boolean;
  /** Asked once more when everything is ready to go out: whatever took long before, GitHub gets nothing from somebody who may not. */
  may: () => boolean;
  signal: AbortSignal;
};

/** The controller's one way to GitHub. */
export type GitHub = {
  /**
   * Reads; what is asked twice at the same moment is asked once, and what GitHub says is unchanged is not sent again. The answer is
   * shared: it must not be changed.
   * @throws FarmError GITHUB_REFUSED (the same again is of no use) or GITHUB_AWAY (after three tries)
   */
  get: (repo: Repo, route: `GET ${string}`, parameters?: Record<string, unknown>) => Promise<unknown>;
  /**
   * Writes, when it is this one's turn. Sent once: whoever wants it sent again asks again, for by then it may say something else.
   * @param make called when the turn has come; undefined: nothing is to be said any more
   * @returns whether it was sent
   * @throws FarmError GITHUB_REFUSED or, when it is not known whether GitHub took it, GITHUB_AWAY
   */
  write: (repo: Repo, make: () => Promise<Write | undefined>, options: WriteOptions) => Promise<boolean>;
  stop: () => void;
};

const timeoutMs = 10_000;
const tries = 3;
const cacheBytes = 16 * 1024 * 1024;
const maxAnswerBytes = 8 * 1024 * 1024;
/** The version of the API that GitHub's description of it, by which the tests check, is of. */
const apiVersion = '2022-11-28';

/** Thrown where a request would leave although its sender may not send any more. */
class NotSent extends Error {}

export function github({ api, auth, limits }: GitHubSettings, deps: GitHubDeps): GitHub {
  const { log, now, wallMs } = deps;
  const etags = new ETags(cacheBytes);
  const asked = new Map<string, Promise<unknown>>();
  const lanes = new Map<string, Lane>();
  const stopping = new AbortController();
  const say = (level: 'debug' | 'warn') => (message: string) => log[level]({}, message.slice(0, 300));
  const make = (more: object) =>
    new Octokit({
      ...more,
      baseUrl: api.replace(/\/+$/, ''),
      userAgent: deps.userAgent,
      request: { fetch: bounded(deps.fetch) },
      log: { debug: say('debug'), info: say('debug'), warn: say('warn'), error: say('warn') },
    });
  const known = credentials(auth, make);

  const laneOf = (repo: Repo): Lane => {
    const name = known.nameOf(repo);
    const lane = lanes.get(name) ?? new Lane({ name, limits, now, log });
    lanes.set(name, lane);
    return lane;
  };

  /** One request; what failed is told to the lane, and thrown as the farm's. */
  async function request(repo: Repo, route: string, parameters: object, how: { headers?: object; fetch?: typeof fetch }) {
    const lane = laneOf(repo);
    try {
      const { octokit, headers } = await known.open(repo);
      const response = await octokit.request(route, {
        ...repo,
        ...parameters,
        headers: { ...headers, ...how.headers, 'x-github-api-version': apiVersion },
        request: {
          signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(timeoutMs)]),
          ...(how.fetch ? { fetch: how.fetch } : {}),
        },
      });
      lane.answered();
      return response;
    } catch (error) {
      if (notSent(error)) throw new NotSent();
      if ((error as { status?: number }).status === 304) {
        lane.answered();
        return undefined;
      }
      if (error instanceof FarmError && error.code === 'GITHUB_REFUSED') throw error;
      // Settings that cannot be read any more: as when GitHub is away, for they may be put right.
      const failure = error instanceof FarmError ? { kind: 'away' as const, detail: error.message } : failureOf(error, wallMs());
      if (failure.kind === 'refused') {
        lane.answered();
        const what = `${route.replace('{owner}', repo.owner).replace('{repo}', repo.repo)}`;
        throw new FarmError('GITHUB_REFUSED', { what, status: failure.status, detail: failure.detail });
      }
      if (failure.kind === 'away' && failure.status === 401) known.forget(repo);
      const waitMs = lane.failed(failure);
      throw new FarmError('GITHUB_AWAY', { detail: failure.detail, afterS: Math.ceil(waitMs / 1_000) });
    }
  }

  async function read(repo: Repo, key: string, route: string, parameters: object): Promise<unknown> {
    const before = etags.get(key);
    const response = await laneOf(repo).read(() =>
      request(repo, route, parameters, before ? { headers: { 'if-none-match': before.etag } } : {}),
    );
    if (!response) return before?.data;
    const { data, headers } = response;
    if (headers.etag) etags.put(key, { etag: headers.etag, data, sizeBytes: JSON.stringify(data ?? null).length });
    return data;
  }

  async function readAgain(repo: Repo, key: string, route: string, parameters: object): Promise<unknown> {
    for (let left = tries - 1; ; left -= 1) {
      try {
        return await read(repo, key, route, parameters);
      } catch (error) {
        const again = error instanceof FarmError && error.code === 'GITHUB_AWAY' && left > 0 && !stopping.signal.aborted;
        if (!again) throw error;
      }
    }
  }

  return {
    get: (repo, route, parameters = {}) => {
      const key = JSON.stringify([repo.owner, repo.repo, route, parameters]);
      const going = asked.get(key) ?? readAgain(repo, key, route, parameters).finally(() => asked.delete(key));
      asked.set(key, going);
      return going;
    },
    write: async (repo, makeWrite, { urgent, may, signal }) => {
      const send: typeof fetch = (input, init) => {
        const writes = init?.method !== undefined && init.method !== 'GET';
        if (writes && !may()) return Promise.reject(new NotSent());
        return bounded(deps.fetch)(input, init);
      };
      const work = async () => {
        const write = await makeWrite();
        if (!write) return undefined;
        try {
          await request(repo, write.route, write.parameters, { fetch: send });
          return true;
        } catch (error) {
          if (error instanceof NotSent) return undefined;
          throw error;
        }
      };
      return (await laneOf(repo).write(work, { urgent, signal })) ?? false;
    },
    stop: () => {
      stopping.abort();
      for (const lane of lanes.values()) lane.stop();
    },
  };
}

/** Octokit wraps what its `fetch` throws. */
const notSent = (error: unknown): boolean =>
  error instanceof NotSent || (error instanceof Error && error.cause instanceof NotSent);

/** Answers of a length that no answer has are not read. */
const bounded =
  (send: typeof fetch): typeof fetch =>
  async (input, init) => {
    const response = await send(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(timeoutMs) });
    if (Number(response.headers.get('content-length') ?? 0) > maxAnswerBytes) {
      await response.body?.cancel();
      throw new RangeError(`the answer is larger than ${maxAnswerBytes} bytes`);
    }
    return response;
  };

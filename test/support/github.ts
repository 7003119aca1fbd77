import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GitHubDescription } from './openapi.ts';

export type PostedStatus = {
  repo: string;
  sha: string;
  context: string;
  state: string;
  description: string;
  targetUrl: string;
  /** As the poster called itself. */
  by: string;
  atMs: number;
};

export type SeenRequest = { method: string; path: string; by: string; atMs: number; status: number; ifNoneMatch?: string };

/** What the server answers instead of doing what it was asked. */
export type Answer = { status: number; headers?: Record<string, string>; body?: unknown } | 'hang up' | undefined;

/** Called for each request before it is done; the request waits for it. */
export type Before = (request: {
  method: string;
  path: string;
  by: string;
  body: Record<string, unknown> | undefined;
}) => Answer | Promise<Answer>;

const base = '/api/v3';
const description = lazily(() => new GitHubDescription());

/**
 * The part of GitHub that the farm uses, on a port of its own, as a GitHub Enterprise Server lays it out. Every request is checked by GitHub's own
 * description of its API, and so is every answer; what is wrong is in `problems`, and `stop` throws it.
 */
export class TestGitHub implements AsyncDisposable {
  /** In the order in which they took effect. */
  readonly statuses: PostedStatus[] = [];
  readonly requests: SeenRequest[] = [];
  readonly problems: string[] = [];
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch((error: unknown) => {
      this.problems.push(`the test server failed: ${error}`);
      response.destroy();
    });
  });
  readonly #installations = new Map<string, number>();
  readonly #changed = new Set<() => void>();
  before: Before = () => undefined;
  /** Personal tokens that it knows; those of installations are made by it. */
  readonly tokens = new Set(['ghp_test']);

  static async start(): Promise<TestGitHub> {
    const github = new TestGitHub();
    github.#server.listen(0, '127.0.0.1');
    await once(github.#server, 'listening');
    return github;
  }

  get api(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${base}`;
  }

  /** From now on an App is installed for this owner. */
  install(owner: string): void {
    this.#installations.set(owner, this.#installations.size + 1);
  }

  /** What stands at a commit for a context now. */
  standing(sha: string, context: string): PostedStatus | undefined {
    return this.statuses.findLast((s) => s.sha === sha && s.context === context);
  }

  /** The states posted for a context, in order. */
  states(context: string): string[] {
    return this.statuses.filter((s) => s.context === context).map((s) => s.state);
  }

  /** Resolves when `isTrue`; it is asked when a request has come and when it is answered. @throws Error when it has not come true in time */
  async until(what: string, isTrue: (github: this) => boolean, withinMs = 15_000): Promise<void> {
    if (isTrue(this)) return;
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!isTrue(this)) return;
        clearTimeout(timer);
        this.#changed.delete(look);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#changed.delete(look);
        reject(new Error(`not within ${withinMs} ms: ${what}; statuses: ${JSON.stringify(this.statuses)}`));
      }, withinMs);
      this.#changed.add(look);
    });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    if (this.problems.length > 0) throw new Error(`GitHub would not have it so:\n${this.problems.join('\n')}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET' } = request;
    const url = new URL(request.url ?? '/', 'http://github');
    const path = url.pathname.slice(base.length);
    const by = String(request.headers['user-agent'] ?? '');
    const text = Buffer.concat(await request.toArray()).toString('utf8');
    const body = text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>);
    const ifNoneMatch = request.headers['if-none-match'];
    const seen: SeenRequest = { method, path, by, atMs: performance.now(), status: 0, ...(ifNoneMatch ? { ifNoneMatch } : {}) };
    this.requests.push(seen);
    this.problems.push(...description().requestProblems(method, url, base, body), ...headerProblems(request));
    this.#look();
    const told = await this.before({ method, path, by, body });
    if (told === 'hang up') request.socket.destroy();
    else {
      const answer = told ?? this.#answer(method, path, url, request, body);
      seen.status = this.#reply(response, seen, answer);
    }
    this.#look();
  }

  #look(): void {
    for (const look of [...this.#changed]) look();
  }

  #reply(
    response: ServerResponse,
    { method, path, ifNoneMatch }: SeenRequest,
    answer: Exclude<Answer, 'hang up' | undefined>,
  ): number {
    const text = JSON.stringify(answer.body ?? {});
    this.problems.push(...description().answerProblems(method, path, answer.status, answer.body ?? {}));
    const etag = `W/"${createHash('sha256').update(text).digest('hex')}"`;
    const isCacheable = method === 'GET' && answer.status === 200;
    const isKnown = isCacheable && ifNoneMatch === etag;
    const headers = { 'content-type': 'application/json; charset=utf-8', ...(isCacheable ? { etag } : {}), ...answer.headers };
    if (isKnown) response.writeHead(304, { etag }).end();
    else response.writeHead(answer.status, headers).end(text);
    return isKnown ? 304 : answer.status;
  }

  #answer(method: string, path: string, url: URL, request: IncomingMessage, body: Record<string, unknown> | undefined) {
    const operation = description().operation(method, path);
    const { owner = '', repo = '', sha = '', ref = '' } = operation?.parameters ?? {};
    const [scheme = '', credential = ''] = String(request.headers.authorization ?? '').split(' ');
    switch (operation?.key) {
      case 'GET /repos/{owner}/{repo}/installation': {
        if (scheme !== 'bearer' || credential.split('.').length !== 3)
          return errorOf(401, 'A JSON web token could not be decoded');
        const id = this.#installations.get(owner);
        return id === undefined
          ? errorOf(404, 'Not Found')
          : { status: 200, body: { ...description().example('installation'), id } };
      }
      case 'POST /app/installations/{installation_id}/access_tokens': {
        const token = `ghs_installation${operation.parameters.installation_id}_${this.tokens.size}`;
        this.tokens.add(token);
        const expires_at = new Date(Date.now() + 3_600_000).toISOString();
        return { status: 201, body: { token, expires_at, permissions: { statuses: 'write' }, repository_selection: 'all' } };
      }
    }
    if (!this.tokens.has(credential)) return errorOf(401, 'Bad credentials');
    switch (operation?.key) {
      case 'POST /repos/{owner}/{repo}/statuses/{sha}': {
        const text = (field: string) => String(body?.[field] ?? '');
        if (text('description').length > 140) return tooLong();
        const status = {
          repo: `${owner}/${repo}`,
          sha,
          context: text('context'),
          state: text('state'),
          description: text('description'),
          targetUrl: text('target_url'),
        };
        this.statuses.push({ ...status, by: String(request.headers['user-agent']), atMs: performance.now() });
        return { status: 201, body: { ...description().example('status'), ...statusOf(status, this.statuses.length) } };
      }
      case 'GET /repos/{owner}/{repo}/commits/{ref}/status': {
        const newest = new Map<string, object>();
        for (const [i, s] of this.statuses.entries())
          if (s.sha === ref && s.repo === `${owner}/${repo}`) newest.set(s.context.toLowerCase(), statusOf(s, i + 1));
        const perPage = Number(url.searchParams.get('per_page') ?? 30);
        const page = Number(url.searchParams.get('page') ?? 1);
        const statuses = [...newest.values()].slice((page - 1) * perPage, page * perPage);
        return {
          status: 200,
          body: {
            ...description().example('combined-commit-status'),
            sha: ref,
            state: 'pending',
            total_count: newest.size,
            statuses,
          },
        };
      }
      default:
        return errorOf(404, 'Not Found');
    }
  }
}

const errorOf = (status: number, message: string) => ({
  status,
  body: { message, documentation_url: 'https://docs.github.com/rest' },
});
const tooLong = () => ({
  status: 422,
  body: {
    message: 'Validation Failed',
    errors: [
      {
        resource: 'Status',
        code: 'custom',
        field: 'description',
        message: 'description is too long (maximum is 140 characters)',
      },
    ],
    documentation_url: 'https://docs.github.com/rest',
  },
});

/** As GitHub answers who goes too fast. */
export const secondaryLimit = (retryAfterS?: number): Answer => ({
  status: 403,
  headers: retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) },
  body: {
    message: 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.',
    documentation_url: 'https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits',
  },
});

const statusOf = (s: { context: string; state: string; description: string; targetUrl: string }, id: number) => ({
  id,
  node_id: `S${id}`,
  url: `https://github.test/statuses/${id}`,
  avatar_url: null,
  context: s.context,
  state: s.state,
  description: s.description,
  target_url: s.targetUrl,
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
});

/** GitHub refuses who does not say his name, and asks for its media type. */
function headerProblems({ headers, method, url }: IncomingMessage): string[] {
  const problems: string[] = [];
  if (!headers['user-agent']?.startsWith('thresh/')) problems.push('user-agent does not name this program');
  if (!/application\/vnd\.github/.test(headers.accept ?? '')) problems.push('accept does not name GitHub’s media type');
  if (!headers.authorization) problems.push('no authorization');
  return problems.map((p) => `${method} ${url}: ${p}`);
}

/** A private key as GitHub gives one for an App. */
export const appKey = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

import { randomUUID } from 'node:crypto';
import type { CookieSerializeOptions } from '@fastify/cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Session } from '../../protocol/session.ts';
import type { Keys, SessionGrant } from '../store/keys.ts';

/** How long a person stays logged in, milliseconds. */
const sessionMs = 12 * 3_600_000;
/** Sessions ended before their time that are remembered; each until it would have ended by itself. */
const maxEnded = 10_000;

/** Logins of browsers, kept in their cookies; every replica knows them by the farm's key. */
export type Sessions = {
  start: (by: string, request: FastifyRequest, reply: FastifyReply) => Session;
  /** Whose session the request belongs to; undefined without one, or when a page of somebody else has sent it. */
  of: (request: FastifyRequest) => SessionGrant | undefined;
  /** Takes the cookie back, and this replica takes no copy of it any more. */
  end: (request: FastifyRequest, reply: FastifyReply) => void;
};

/** @param wallMs milliseconds since the epoch */
export function sessions({ keys, wallMs }: { keys: Keys; wallMs: () => number }): Sessions {
  const ended = new Map<string, number>();
  const name = keys.sessionCookie;
  const of = (request: FastifyRequest) => {
    const cookie = request.cookies[name];
    if (cookie === undefined || !isFromOwnPage(request)) return undefined;
    const session = keys.openSession(cookie, wallMs());
    return session && !ended.has(session.id) ? session : undefined;
  };
  return {
    of,
    start: (by, request, reply) => {
      const expiresAtMs = wallMs() + sessionMs;
      const token = keys.sessionToken({ id: randomUUID(), by, expiresAtMs });
      reply.setCookie(name, token, { ...cookieFor(request), maxAge: sessionMs / 1_000 });
      return { by, expiresAtMs };
    },
    end: (request, reply) => {
      const session = of(request);
      if (session) {
        for (const [id, atMs] of ended) if (atMs <= wallMs() || ended.size >= maxEnded) ended.delete(id);
        ended.set(session.id, session.expiresAtMs);
      }
      reply.clearCookie(name, cookieFor(request));
    },
  };
}

/** TLS ends before this server, so what the browser says of its page is all that tells. */
const cookieFor = ({ headers }: FastifyRequest): CookieSerializeOptions => ({
  path: '/',
  httpOnly: true,
  sameSite: 'strict',
  secure: headers.origin?.startsWith('https:') ?? headers['x-forwarded-proto'] === 'https',
});

/**
 * Whether a request that carries a cookie comes from a page of this farm, or from nobody's (a person typed the address). `SameSite` alone
 * does not say so: it takes pages from other ports of this host as ours. Origins that are not ours were refused before.
 */
function isFromOwnPage({ headers, method }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  const changes = method !== 'GET' && method !== 'HEAD';
  return headers.origin !== undefined || !(changes || headers.upgrade !== undefined);
}

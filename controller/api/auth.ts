import type { FastifyRequest } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import { againHeader, type JoinGrant } from '../../protocol/join.ts';
import { sameText } from '../store/keys.ts';
import { buckets } from './buckets.ts';
import type { ApiDeps } from './deps.ts';
import type { Sessions } from './sessions.ts';

/** Who speaks, as far as the route cares. */
export type Principal =
  | { kind: 'admin'; by: string /** When the login ends by itself; absent: never. */; untilMs?: number }
  | { kind: 'join'; grant: JoinGrant; again?: { name: string; publicKey: string } }
  | { kind: 'agent'; agent: string }
  | { kind: 'metrics' };

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whose token a route takes, and no other's. Absent: the admin's. metrics: that one or the admin's. */
    token?: 'join' | 'agent' | 'metrics';
  }
  interface FastifyRequest {
    principal: Principal | null;
  }
}

type AuthDeps = Pick<ApiDeps, 'keys' | 'adminToken' | 'metricsToken' | 'farm' | 'now' | 'wallMs'> & { sessions: Sessions };

/**
 * Says who speaks. A genuine token always passes; from an address with many failures (10 at once, then one in 6 s) further ones are
 * answered 429. So behind a shared address nobody can lock another out; that guessing stays hopeless is up to the tokens' length.
 * The answer throws FarmError UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, UNAVAILABLE (an agent that this replica does not know yet)
 */
export function authenticator(deps: AuthDeps): (request: FastifyRequest) => Principal {
  if (deps.adminToken.length < 32) throw new RangeError('the admin token must have at least 32 characters');
  const failures = buckets({ size: 10, perSecond: 1 / 6, maxKeys: 10_000, now: deps.now });
  const joins = buckets({ size: 200, perSecond: 5, maxKeys: 10_000, now: deps.now });
  const demandPoint = (from: ReturnType<typeof buckets>, request: FastifyRequest, what: string) => {
    const afterS = from.take(request.ip);
    if (afterS > 0) throw new FarmError('TOO_MANY_REQUESTS', { what, afterS });
  };

  return (request) => {
    const wanted = request.routeOptions.config.token ?? 'admin';
    if (wanted === 'join') demandPoint(joins, request, 'agents join');
    const principal = recognise(wanted, bearerOf(request), request, deps);
    if (principal) return principal;
    // Who shows nothing guesses nothing: a browser asks so whether it is logged in.
    if (request.headers.authorization !== undefined) demandPoint(failures, request, 'wrong logins came');
    throw new FarmError('UNAUTHORIZED', { need: needs[wanted] });
  };
}

const needs = {
  admin: "send 'Authorization: Bearer' and the admin token, or log in at /login",
  join: "send 'Authorization: Bearer' and a join token that is not over; an admin makes one with POST /api/agents/tokens",
  agent: "send 'Authorization: Bearer' and the token that this agent got when it joined",
  metrics: "send 'Authorization: Bearer' and the token of --metrics-token-file, or the admin token",
};

function recognise(wanted: keyof typeof needs, token: string, request: FastifyRequest, deps: AuthDeps): Principal | undefined {
  if (token === '') {
    const session = wanted === 'admin' ? deps.sessions.of(request) : undefined;
    return session && { kind: 'admin', by: session.by, untilMs: session.expiresAtMs };
  }
  switch (wanted) {
    case 'admin':
      return sameText(token, deps.adminToken) ? { kind: 'admin', by: 'admin' } : undefined;
    case 'join': {
      const grant = deps.keys.openJoinToken(token, deps.wallMs());
      return grant ? { kind: 'join', grant } : recogniseAgain(token, request, deps);
    }
    case 'metrics':
      return [deps.adminToken, ...(deps.metricsToken ? [deps.metricsToken] : [])].some((t) => sameText(token, t))
        ? { kind: 'metrics' }
        : undefined;
    case 'agent': {
      const { agent = '' } = request.params as { agent?: string };
      if (!deps.keys.isAgentToken(token, agent)) return undefined;
      const state = deps.farm().agents.get(agent)?.state;
      if (state === undefined)
        throw new FarmError('UNAVAILABLE', { detail: `agent '${agent}' is not known here yet`, afterS: 2 });
      if (state === 'revoked') throw new FarmError('FORBIDDEN', { what: `agent '${agent}' was revoked` });
      return { kind: 'agent', agent };
    }
  }
}

/** An agent that has joined before, and is as it was then. */
function recogniseAgain(token: string, { headers }: FastifyRequest, deps: AuthDeps): Principal | undefined {
  const name = headers[againHeader];
  if (typeof name !== 'string' || !deps.keys.isAgentToken(token, name)) return undefined;
  const agent = deps.farm().agents.get(name);
  if (!agent) throw new FarmError('UNAVAILABLE', { detail: `agent '${name}' is not known here yet`, afterS: 2 });
  if (agent.state === 'revoked') throw new FarmError('FORBIDDEN', { what: `agent '${name}' was revoked` });
  const { queues, trust, publicKey } = agent;
  return { kind: 'join', grant: { queues, trust, expiresAtMs: deps.wallMs() }, again: { name, publicKey } };
}

const bearerOf = (request: FastifyRequest): string => /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';

/** The person who asks. */
export function personOf({ principal }: FastifyRequest): { source: 'person'; by: string } {
  if (principal?.kind !== 'admin') throw new FarmError('FORBIDDEN', { what: 'only an admin may' });
  return { source: 'person', by: principal.by };
}

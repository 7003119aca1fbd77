import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Static, type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import { type JoinGrant, JoinGrant as JoinGrantSchema } from '../../protocol/join.ts';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';

/**
 * The farm's tokens, all made from one 32-byte key that every controller has. Each purpose has a key of its own (HKDF, RFC 5869), so a
 * token for one thing is worthless for another.
 */
export type Keys = {
  /** For the log and the artifacts of one attempt. */
  attemptToken: (agent: string, a: AttemptKey) => string;
  isAttemptToken: (token: string, agent: string, a: AttemptKey) => boolean;
  /** For the log WebSocket of one agent. */
  agentToken: (agent: string) => string;
  isAgentToken: (token: string, agent: string) => boolean;
  joinToken: (grant: JoinGrant) => string;
  /** The grant of a genuine join token; undefined when it is forged or over. */
  openJoinToken: (token: string, nowMs: number) => JoinGrant | undefined;
  /** For the browser of a person who has logged in. */
  sessionToken: (session: SessionGrant) => string;
  openSession: (token: string, nowMs: number) => SessionGrant | undefined;
  /** What browsers call the cookie of this farm: they do not tell ports of a host apart, farms have to. */
  sessionCookie: string;
};

/** `id`: so that one session can be ended before its time. */
const SessionGrant = Type.Object({ id: Type.String(), by: Type.String(), expiresAtMs: Type.Integer() });
export type SessionGrant = Static<typeof SessionGrant>;

export const newFarmKey = (): Buffer => randomBytes(32);

export function keys(farmKey: Uint8Array): Keys {
  if (farmKey.length !== 32) throw new RangeError(`the farm's key has 32 bytes, not ${farmKey.length}`);
  const keyFor = (purpose: string) => Buffer.from(hkdfSync('sha256', farmKey, '', `thresh ${purpose}`, 32));
  const signer = (purpose: string) => {
    const key = keyFor(purpose);
    return (text: string) => createHmac('sha256', key).update(text).digest('base64url');
  };
  const [attempt, agentLog] = [signer('attempt'), signer('agent')];
  const [join, session] = [sealed(signer('join'), JoinGrantSchema), sealed(signer('session'), SessionGrant)];
  const attemptText = (agent: string, a: AttemptKey) => `${agent}/${keyOf(a)}`;
  return {
    attemptToken: (agent, a) => attempt(attemptText(agent, a)),
    isAttemptToken: (token, agent, a) => sameText(token, attempt(attemptText(agent, a))),
    agentToken: (agent) => agentLog(agent),
    isAgentToken: (token, agent) => sameText(token, agentLog(agent)),
    joinToken: join.seal,
    openJoinToken: join.open,
    sessionToken: session.seal,
    openSession: session.open,
    sessionCookie: `thresh_${signer('cookie')('name')
      .replace(/[^A-Za-z0-9]/g, '')
      .slice(0, 8)}`,
  };
}

/** Tokens that say what they allow and until when, and prove that the farm has said it. */
function sealed<T extends TSchema>(sign: (text: string) => string, schema: T) {
  type Grant = Static<T> & { expiresAtMs: number };
  return {
    seal: (grant: Grant): string => {
      const body = Buffer.from(JSON.stringify(grant)).toString('base64url');
      return `${body}.${sign(body)}`;
    },
    open: (token: string, nowMs: number): Grant | undefined => {
      const [body = '', mac = ''] = token.split('.');
      if (!sameText(mac, sign(body))) return undefined;
      const grant: unknown = JSON.parse(Buffer.from(body, 'base64url').toString('utf8'));
      return Value.Check(schema, grant) && (grant as Grant).expiresAtMs > nowMs ? (grant as Grant) : undefined;
    },
  };
}

/** Whether two texts are equal, in time that does not tell how much of them is. */
export function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

import { type Static, Type } from 'typebox';

/** The protocol levels that this program speaks as an agent. */
export const protocolRange = { min: 1, max: 1 } as const;

/**
 * `POST /api/agents/join`, with `Authorization: Bearer <join token>`. An agent that has joined before may send its own token instead, and its
 * name in this header: then it is taken in again with the keys, the trust and at most the queues that it had.
 */
export const againHeader = 'x-thresh-agent';
export const JoinRequest = Type.Object({
  name: Type.String({ pattern: '^[A-Za-z0-9_-]{1,48}$', description: 'How the agent wants to be called; its id' }),
  publicKey: Type.String({ pattern: '^U[A-Z2-7]{55}$' }),
  curveKey: Type.String({ pattern: '^X[A-Z2-7]{55}$' }),
  /** Of the queues that the token allows, those to serve; absent: all. */
  queues: Type.Optional(Type.Array(Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }), { minItems: 1, maxItems: 100 })),
  executor: Type.String({ maxLength: 64 }),
  shared: Type.Optional(Type.Boolean({ description: 'It has the storage on which shared workspaces are' })),
  host: Type.String({ maxLength: 255 }),
  version: Type.String({ maxLength: 64 }),
  protocol: Type.Object({ min: Type.Integer(), max: Type.Integer() }),
});
export type JoinRequest = Static<typeof JoinRequest>;

export const JoinAnswer = Type.Object({
  agent: Type.String(),
  nats: Type.String({ description: 'Where the agent logs in with its nkey' }),
  token: Type.String({ description: 'For the log WebSocket of this agent' }),
  queues: Type.Array(Type.String()),
  trust: Type.Union([Type.Literal('trusted'), Type.Literal('any')]),
});
export type JoinAnswer = Static<typeof JoinAnswer>;

/** What a join token fixes. It is signed with the farm's key. */
export const JoinGrant = Type.Object({
  queues: Type.Array(Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }), { minItems: 1, maxItems: 100 }),
  trust: Type.Union([Type.Literal('trusted'), Type.Literal('any')]),
  expiresAtMs: Type.Integer(),
});
export type JoinGrant = Static<typeof JoinGrant>;

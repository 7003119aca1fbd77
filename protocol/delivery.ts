import { type Static, Type } from 'typebox';
import { Refs } from './change.ts';
import { Priority } from './job.ts';
import { Here } from './source.ts';

/** Where a delivery comes from: the first token after `delivery.` */
export const DeliverySource = Type.Union([
  Type.Literal('github'),
  Type.Literal('clock'),
  Type.Literal('person'),
  Type.Literal('agent'),
]);
export type DeliverySource = Static<typeof DeliverySource>;

const id = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' });
const reason = Type.Optional(Type.String({ maxLength: 1024 }));

/** What a person (or an agent that joins) asks of the farm. `by` stands in the delivery, not here: it is who logged in. */
export const Request = Type.Union([
  Type.Object({
    kind: Type.Literal('run'),
    job: Type.String({ minLength: 1, maxLength: 255 }),
    repo: Type.Optional(Type.String({ maxLength: 512 })),
    refs: Type.Optional(Refs),
    here: Type.Optional(Here),
    priority: Type.Optional(Priority),
  }),
  Type.Object({ kind: Type.Literal('cancel'), run: id, force: Type.Boolean(), reason }),
  Type.Object({ kind: Type.Literal('retry'), run: id }),
  Type.Object({ kind: Type.Literal('queue'), queue: id, paused: Type.Boolean(), reason }),
  Type.Object({
    kind: Type.Literal('agent'),
    agent: id,
    state: Type.Union([Type.Literal('serving'), Type.Literal('cordoned'), Type.Literal('draining'), Type.Literal('revoked')]),
    reason,
  }),
  Type.Object({
    kind: Type.Literal('join'),
    agent: id,
    publicKey: Type.String({ pattern: '^U[A-Z2-7]{55}$', description: 'nkey (user) with which the agent logs in to NATS' }),
    curveKey: Type.String({ pattern: '^X[A-Z2-7]{55}$', description: 'curve nkey to which secrets are sealed' }),
    queues: Type.Array(id, { minItems: 1, maxItems: 100 }),
    trust: Type.Union([Type.Literal('trusted'), Type.Literal('any')], { description: "'any': takes untrusted runs too" }),
    executor: Type.String({ maxLength: 64 }),
    shared: Type.Optional(Type.Boolean()),
    host: Type.String({ maxLength: 255 }),
    version: Type.String({ maxLength: 64 }),
    protocol: Type.Object({ min: Type.Integer(), max: Type.Integer() }),
  }),
]);
export type Request = Static<typeof Request>;
export type RequestOf<K extends Request['kind']> = Extract<Request, { kind: K }>;

/**
 * A message of `DELIVERIES`, on `delivery.<source>.<id>`. Exactly one of `payload`, `object` and `request` is there.
 * `object`: the key of a body too big for the stream (JSON, as it came).
 */
export const Delivery = Type.Object({
  v: Type.Literal(1),
  source: DeliverySource,
  id,
  atMs: Type.Integer({ description: 'When it was accepted, milliseconds since the epoch' }),
  by: Type.String({ maxLength: 255, description: 'Who asked: a login, an agent, or the source' }),
  event: Type.String({ maxLength: 64, description: 'X-GitHub-Event, or the kind of the request' }),
  payload: Type.Optional(Type.Unknown()),
  object: Type.Optional(Type.String()),
  request: Type.Optional(Request),
});
export type Delivery = Static<typeof Delivery>;

export const deliverySubject = (d: Pick<Delivery, 'source' | 'id'>): string => `delivery.${d.source}.${d.id}`;

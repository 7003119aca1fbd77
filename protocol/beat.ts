import { type Static, Type } from 'typebox';
import { AttemptKey } from './task.ts';

/** What an agent says every few seconds on `beat.<agent>`. Not stored. */
export const Beat = Type.Object({
  v: Type.Literal(1),
  /** Highest term that the agent has seen. */
  term: Type.Integer({ minimum: 0 }),
  slots: Type.Object({
    total: Type.Integer({ minimum: 0, maximum: 10_000 }),
    free: Type.Integer({ minimum: 0, maximum: 10_000 }),
  }),
  /** The agent wants nothing new: it is being stopped. */
  draining: Type.Boolean(),
  /** Attempts whose end the farm does not know yet. `stopping`: it has heard that it must stop. */
  held: Type.Array(Type.Object({ ...AttemptKey.properties, stopping: Type.Boolean() }), { maxItems: 10_000 }),
  /** `run.round` of each workspace on its disk, at most 1,000 of them. */
  workspaces: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 1_000 }),
  /** Attempts whose log is not wholly stored. */
  shipping: Type.Integer({ minimum: 0 }),
  health: Type.Object({
    freeDiskBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    problem: Type.Optional(Type.String({ maxLength: 1024 })),
  }),
});
export type Beat = Static<typeof Beat>;

/** The leader's answer; given at once when it has something to say, else held. An agent ignores a term below the highest it has seen. */
export const BeatAnswer = Type.Union([
  /** This controller has stepped down: beat again, another will answer. */
  Type.Object({ v: Type.Literal(1), type: Type.Literal('again') }),
  Type.Object({
    v: Type.Literal(1),
    type: Type.Literal('orders'),
    term: Type.Integer({ minimum: 1 }),
    /** Ask these to stop (TERM, then KILL); their end is still wanted. */
    cancel: Type.Array(AttemptKey),
    /** These are not yours any more: kill them at once; no end is wanted. */
    revoke: Type.Array(AttemptKey),
    /** Workspaces (`run.round`) that nothing will use again. */
    forget: Type.Array(Type.String()),
    /** Take nothing new, finish what you have. */
    drain: Type.Boolean(),
  }),
]);
export type BeatAnswer = Static<typeof BeatAnswer>;
export type Orders = Extract<BeatAnswer, { type: 'orders' }>;

export const beatSubject = (agent: string): string => `beat.${agent}`;

import { type Static, Type } from 'typebox';
import { Refs } from './change.ts';
import { JobType, Step } from './job.ts';
import { Source } from './source.ts';

/** Names an attempt; the last three parts are also those of its subjects. */
export const AttemptKey = Type.Object({
  run: Type.String({ pattern: '^[0-9]{1,20}$' }),
  step: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  attempt: Type.Integer({ minimum: 1 }),
});
export type AttemptKey = Static<typeof AttemptKey>;

/** `run.step.attempt`: one text for an attempt, in subjects, file names and maps. */
export const keyOf = (a: AttemptKey): string => `${a.run}.${a.step}.${a.attempt}`;

/** A message of `TASKS`: everything that an agent needs for one attempt. It never asks the configuration. */
export const Task = Type.Object({
  v: Type.Literal(1),
  term: Type.Integer({ minimum: 1 }),
  agent: Type.String(),
  ...AttemptKey.properties,
  round: Type.Integer({ minimum: 1 }),
  workspace: Type.Union([Type.Literal('local'), Type.Literal('shared')]),
  job: Type.String(),
  type: JobType,
  trusted: Type.Boolean(),
  refs: Type.Optional(Refs),
  source: Type.Optional(Source),
  spec: Step,
  /** Environment variable -> secret, sealed (base64) to the agent's curve key by `sealedBy`. */
  secrets: Type.Record(Type.String(), Type.String()),
  sealedBy: Type.Optional(Type.String({ description: "The controller's public curve key" })),
  token: Type.String({ description: 'For the log and the artifacts of this attempt' }),
  maxLogBytes: Type.Integer({ minimum: 0 }),
});
export type Task = Static<typeof Task>;

export const taskSubject = (agent: string, a: AttemptKey): string => `task.${agent}.${keyOf(a)}`;

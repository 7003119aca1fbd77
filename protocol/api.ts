import { type Static, Type } from 'typebox';
import { Refs } from './change.ts';
import { Priority } from './job.ts';
import type { Agent, ConfigState, Verdict } from './record.ts';
import type { Run, RunState } from './run.ts';
import { Here } from './source.ts';

/*
 * HTTP. All of /api wants `Authorization: Bearer <admin token>` (or, for joining, a join token). Errors are `ApiError` with a 4xx or 5xx.
 *
 * POST /hook                              a GitHub webhook                     202 HookAnswer
 * POST /api/runs                          RunRequest                           201 VerdictAnswer, 202 when undecided after 10 s
 * POST /api/uploads                       a working tree (source.ts)            201 Uploaded
 * GET  /api/runs                          ?state=&job=&repo=&pull=&before=&limit=   { runs: RunSummary[], before?: string }
 * GET  /api/runs/:run                     Run
 * POST /api/runs/:run/cancel              { force?, reason? }                  VerdictAnswer
 * POST /api/runs/:run/retry               VerdictAnswer
 * GET  /api/runs/:run/steps/:step/log     ?attempt=&offset=&follow=1           the bytes, or a WebSocket (log.ts)
 * GET  /api/runs/:run/artifacts           ?step=                               ArtifactList (artifact.ts)
 * GET  /api/runs/:run/artifacts/STEP/...  the file, also by Range
 * GET  /api/runs/:run/junit               JUnitAnswer (artifact.ts)
 * GET  /api/queues                        { queues: QueueSummary[] }
 * POST /api/queues/:queue                 { paused, reason? }                  VerdictAnswer
 * GET  /api/agents                        { agents: AgentSummary[] }
 * POST /api/agents/:agent                 { state, reason? }                   VerdictAnswer
 * POST /api/agents/tokens                 TokenRequest                         { token, expiresAtMs }
 * POST /api/agents/join                   JoinRequest                          JoinAnswer (join.ts)
 * GET  /api/agents/:agent/logs            the agent's WebSocket (log.ts)
 * GET  /api/deliveries                    ?before=&limit=                      { deliveries: DeliverySummary[] }
 * GET  /api/deliveries/:source/:id        DeliverySummary
 * GET  /api/farm                          FarmSummary
 * GET  /api/events                        a WebSocket (live.ts)
 * GET  /api/runs/:run/events              a WebSocket (live.ts)
 * GET  /api/runs/:run/waiting             { waiting: Waiting[] }
 * GET  /api/checks                        { checks: FarmCheck[] }
 * GET  /metrics                           Prometheus' text format; with the metrics' token or the admin's
 * GET  /healthz /readyz                   200, or 503 with an ApiError
 */

export const ApiError = Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String() }) });
export type ApiError = Static<typeof ApiError>;

export type HookAnswer = { delivery: string; duplicate: boolean };

export const RunRequest = Type.Object(
  {
    job: Type.String({ minLength: 1, maxLength: 255 }),
    repo: Type.Optional(
      Type.String({ maxLength: 512, description: "'org/repo', where jobs of several repositories share the name" }),
    ),
    refs: Type.Optional(Refs),
    here: Type.Optional(Here),
    priority: Type.Optional(Priority),
  },
  { additionalProperties: false },
);
export type RunRequest = Static<typeof RunRequest>;

export const CancelRequest = Type.Object(
  { force: Type.Optional(Type.Boolean()), reason: Type.Optional(Type.String({ maxLength: 1024 })) },
  { additionalProperties: false },
);
export const QueueRequest = Type.Object(
  { paused: Type.Boolean(), reason: Type.Optional(Type.String({ maxLength: 1024 })) },
  { additionalProperties: false },
);
export const AgentRequest = Type.Object(
  {
    state: Type.Union([Type.Literal('serving'), Type.Literal('cordoned'), Type.Literal('draining'), Type.Literal('revoked')]),
    reason: Type.Optional(Type.String({ maxLength: 1024 })),
  },
  { additionalProperties: false },
);
export const TokenRequest = Type.Object(
  {
    queues: Type.Array(Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }), { minItems: 1, maxItems: 100 }),
    trust: Type.Union([Type.Literal('trusted'), Type.Literal('any')]),
    ttlMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 30 * 86_400_000 })),
  },
  { additionalProperties: false },
);
export type TokenRequest = Static<typeof TokenRequest>;

/** `verdict` is absent when the delivery is stored and not yet decided. */
export type VerdictAnswer = { delivery: string; verdict?: Verdict; runs: string[] };

export type RunSummary = Pick<
  Run,
  'id' | 'job' | 'type' | 'by' | 'trusted' | 'retryOf' | 'reason' | 'createdAtMs' | 'startedAtMs' | 'endedAtMs' | 'delivery'
> & { state: RunState; repo?: string; pull?: number; sha?: string };

export type RunQuery = { state?: RunState | 'open'; job?: string; repo?: string; pull?: number; before?: string; limit: number };

export type QueueSummary = {
  queue: string;
  ready: number;
  running: number;
  paused?: { by: string; reason: string };
  agents: number;
  /** The task that has waited longest, and why no agent has it; absent when nothing waits. */
  oldest?: { run: string; step: string; sinceMs: number; why: string };
};

/** A step of a run that is ready, and why no agent has it. */
export type Waiting = { step: string; sinceMs: number; why: string };

export type AgentSummary = Omit<Agent, 'publicKey' | 'curveKey'> & {
  running: { run: string; step: string; attempt: number; sinceMs: number }[];
};

export type DeliverySummary = { source: string; id: string; atMs: number; verdict: Verdict };

/** One thing that a controller has looked at in itself. note: worth knowing, nothing is wrong. `todo`: what to do about it. */
export type FarmCheck = { name: string; state: 'ok' | 'note' | 'problem'; says: string; todo?: string };

export type FarmSummary = {
  leader: { id: string; url: string; term: number };
  /** Nobody is heard to lead: what is asked is stored, and decided by the next leader. */
  leaderless?: boolean;
  config: ConfigState;
  openRuns: number;
  replica: { id: string; seq: number; leads: boolean };
};

import { type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import type {
  AgentSummary,
  DeliverySummary,
  FarmCheck,
  FarmSummary,
  HookAnswer,
  QueueSummary,
  RunSummary,
  VerdictAnswer,
} from '../../protocol/api.ts';
import type { ArtifactList } from '../../protocol/artifact.ts';
import type { Run } from '../../protocol/run.ts';
import type { LoginLink } from '../../protocol/session.ts';
import { Uploaded } from '../../protocol/source.ts';

/*
 * What the commands count on in each answer. A controller of another version may say more, and less where it does not matter; what is
 * missing here is said as "does not answer as a controller of this version does", not met as a crash in the middle of a table.
 */

/** Checks an answer. @returns what is wrong with it, or undefined */
export type Shape<T> = { readonly wrong: (value: unknown) => string | undefined; readonly type?: T };

const shape = <T>(schema: TSchema): Shape<T> => ({
  wrong: (value) => {
    if (Value.Check(schema, value)) return undefined;
    const [first] = Value.Errors(schema, value);
    return first ? `${first.instancePath || 'the answer'} ${first.message}` : 'the answer has another form';
  },
});

const text = Type.String();
const number = Type.Number();
const flag = Type.Boolean();
const maybe = Type.Optional;

const summary = {
  id: text,
  job: text,
  type: text,
  by: text,
  state: text,
  createdAtMs: number,
  startedAtMs: maybe(number),
  endedAtMs: maybe(number),
  reason: maybe(text),
};

export type RunsAnswer = { runs: RunSummary[]; before?: string };
export const runsAnswer = shape<RunsAnswer>(
  Type.Object({
    runs: Type.Array(Type.Object({ ...summary, repo: maybe(text), pull: maybe(number), sha: maybe(text) })),
    before: maybe(text),
  }),
);

const attempt = Type.Object({
  attempt: number,
  agent: text,
  state: text,
  assignedAtMs: number,
  startedAtMs: maybe(number),
  endedAtMs: maybe(number),
  exitCode: maybe(number),
  message: maybe(text),
});
const refs = Type.Object({
  org: text,
  repo: text,
  baseRef: text,
  baseSha: maybe(text),
  pulls: Type.Array(Type.Object({ number, sha: text, author: text })),
});
export const runAnswer = shape<Run>(
  Type.Object({
    ...summary,
    delivery: text,
    refs: maybe(refs),
    steps: Type.Array(Type.Object({ name: text, needs: Type.Array(text) })),
    at: Type.Array(Type.Object({ name: text, state: text, why: maybe(text), attempts: Type.Array(attempt) })),
  }),
);

const rule = Type.Object({ job: text, runs: flag, why: text });
const verdict = Type.Object({ decision: text, reason: text, event: text, by: text, rules: Type.Array(rule) });
export const verdictAnswer = shape<VerdictAnswer>(
  Type.Object({ delivery: text, verdict: maybe(verdict), runs: Type.Array(text) }),
);

const delivery = Type.Object({ source: text, id: text, atMs: number, verdict });
export type DeliveriesAnswer = { deliveries: DeliverySummary[]; before?: string };
export const deliveriesAnswer = shape<DeliveriesAnswer>(Type.Object({ deliveries: Type.Array(delivery) }));
export const deliveryAnswer = shape<DeliverySummary>(delivery);

export type QueuesAnswer = { queues: QueueSummary[] };
export const queuesAnswer = shape<QueuesAnswer>(
  Type.Object({
    queues: Type.Array(
      Type.Object({
        queue: text,
        ready: number,
        running: number,
        agents: number,
        paused: maybe(Type.Object({ by: text, reason: text })),
        oldest: maybe(Type.Object({ run: text, step: text, sinceMs: number, why: text })),
      }),
    ),
  }),
);

export type AgentsAnswer = { agents: AgentSummary[] };
export const agentsAnswer = shape<AgentsAnswer>(
  Type.Object({
    agents: Type.Array(
      Type.Object({
        id: text,
        queues: Type.Array(text),
        trust: text,
        executor: text,
        host: text,
        version: text,
        state: text,
        silentSinceMs: maybe(number),
        running: Type.Array(Type.Object({ run: text, step: text, attempt: number, sinceMs: number })),
      }),
    ),
  }),
);

export const farmAnswer = shape<FarmSummary>(
  Type.Object({
    leader: Type.Object({ id: text, url: text, term: number }),
    config: Type.Object({ hash: Type.Union([text, Type.Null()]), jobs: number, problems: Type.Array(text) }),
    openRuns: number,
    leaderless: maybe(flag),
  }),
);
export const checksAnswer = shape<{ checks: FarmCheck[] }>(
  Type.Object({ checks: Type.Array(Type.Object({ name: text, state: text, says: text, todo: maybe(text) })) }),
);

export const artifactsAnswer = shape<ArtifactList>(
  Type.Object({
    files: Type.Array(Type.Object({ step: text, path: text, sizeBytes: number, sha256: text })),
    truncated: flag,
    refused: Type.Array(Type.Object({ step: text, path: text, why: text })),
    refusedCount: number,
  }),
);

export const uploadedAnswer = shape<Uploaded>(Uploaded);

export type TokenAnswer = { token: string; expiresAtMs: number };
export const tokenAnswer = shape<TokenAnswer>(Type.Object({ token: text, expiresAtMs: number }));
export const loginLinkAnswer = shape<LoginLink>(Type.Object({ code: text, expiresAtMs: number }));
export const hookAnswer = shape<HookAnswer>(Type.Object({ delivery: text, duplicate: flag }));

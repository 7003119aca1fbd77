import type { Cancel, NewRun, Run, RunEvent } from './run.ts';

/** The level of the records that this program writes and understands. A controller that meets a higher one does not lead. */
export const recordVersion = 1;

/** How far the inputs have been settled, as stream sequences. All up to there have had their effect. */
export type Positions = { deliveries: number; notices: number };

export type AgentState = 'serving' | 'cordoned' | 'draining' | 'revoked';

/** An agent as the farm knows it. Slots and load are in its beats, not here. */
export type Agent = {
  id: string;
  publicKey: string;
  curveKey: string;
  /** Fixed by the join token; a beat may only narrow them. */
  queues: string[];
  trust: 'trusted' | 'any';
  executor: string;
  /** It has the storage on which shared workspaces are. */
  shared?: boolean;
  host: string;
  version: string;
  joinedAtMs: number;
  state: AgentState;
  stateBy?: string;
  /** Not heard for `silentMs`. */
  silentSinceMs?: number;
};

export type Rule = { job: string; runs: boolean; why: string };

/**
 * What a delivery led to.
 * runs: it created runs. done: a request was carried out. waiting: for what `reason` says. refused: the request made no sense.
 */
export type Verdict = {
  decision: 'runs' | 'nothing' | 'waiting' | 'done' | 'refused' | 'superseded' | 'expired';
  reason: string;
  /** Hash of the job configuration that it was decided by. */
  config?: string;
  repo?: string;
  pull?: number;
  event: string;
  by: string;
  /** One answer per job of the matching repository; in object storage under `rulesObject` when they are many. */
  rules: Rule[];
  rulesObject?: string;
  creates: NewRun[];
  cancels: ({ run: string } & Cancel)[];
  changes: FarmChange[];
};

/** What a decision changes outside of runs. */
export type FarmChange =
  | { type: 'agent'; agent: Agent }
  | { type: 'agent-state'; agent: string; state: AgentState; by: string }
  | { type: 'queue'; queue: string; paused: false | { by: string; reason: string } }
  | { type: 'pull'; key: string; pull: PullState | null };

/** What the farm remembers of an open pull request by someone whom the repository does not trust. */
export type PullState = {
  /** A member has said /ok-to-test; later pushes run too, still without secrets. */
  allowed: boolean;
  /** The delivery whose jobs wait for that word. */
  waiting?: { source: string; id: string; seq: number };
};

type Base = {
  v: number;
  term: number;
  /** The place among the records of its term, from 1 on: only in this order do they count. Absent: the next one. */
  nth?: number;
  atMs: number;
};

/**
 * A message of `RUNS`. Written by the leader only, each on condition of the whole stream's sequence. A leader sends many before the first is
 * acknowledged, so the condition alone does not keep out one of the past: when his first is refused, a later one may expect just the sequence at
 * which his successor stands. So a record counts only if it is the next of the newest term; see `Farm.counts`.
 */
export type FarmRecord =
  | (Base & { type: 'leader'; id: string; url: string })
  | (Base & { type: 'alive' })
  | (Base & { type: 'verdict'; source: string; id: string; positions: Positions; verdict: Verdict })
  | (Base & { type: 'run'; run: string; n: number; positions: Positions; events: RunEvent[] })
  | (Base & { type: 'agent'; agent: string; silentSinceMs: number | null })
  | (Base & { type: 'config'; hash: string | null; problems: string[]; jobs: number })
  | (Base & { type: 'snapshot'; run: Run })
  | (Base & {
      type: 'checkpoint';
      leader: string;
      /** Absent in what older programs wrote. */
      leaderUrl?: string;
      positions: Positions;
      lastRunId: string;
      agents: Agent[];
      queues: [string, { by: string; reason: string }][];
      pulls: [string, PullState][];
      config: ConfigState;
    });

/** The job configuration in force, and what is wrong with a newer one that could not replace it. */
export type ConfigState = { hash: string | null; loadedAtMs: number; jobs: number; problems: string[]; problemsAtMs?: number };

/** The subject on which a record is stored. */
export function recordSubject(r: FarmRecord): string {
  switch (r.type) {
    case 'leader':
    case 'alive':
      return 'leader';
    case 'verdict':
      return `verdict.${r.source}.${r.id}`;
    case 'run':
      return `run.${r.run}`;
    case 'snapshot':
      return `run.${r.run.id}`;
    case 'agent':
      return `agent.${r.agent}`;
    case 'config':
    case 'checkpoint':
      return 'farm';
  }
}

/** The streams of the farm, created at start and never on demand. What is on them: see `../protocol/README.md`. */

const hour = 3_600_000;
const day = 24 * hour;
const mib = 1024 * 1024;

export type StreamSpec = {
  name: 'DELIVERIES' | 'RUNS' | 'TASKS' | 'NOTICES' | 'LOGS';
  subjects: string[];
  /** Milliseconds; 0: kept until purged. */
  maxAgeMs: number;
  /** Explicit for each, so that a full disk is met as a refusal and not as a broken server. */
  maxBytes: number;
  maxMsgBytes: number;
  /** One message per subject; a second one is refused, not exchanged. */
  onePerSubject: boolean;
};

export const streams: readonly StreamSpec[] = [
  {
    name: 'DELIVERIES',
    subjects: ['delivery.>'],
    maxAgeMs: 14 * day,
    maxBytes: 4096 * mib,
    maxMsgBytes: 1 * mib,
    onePerSubject: true,
  },
  {
    name: 'RUNS',
    subjects: ['leader', 'verdict.>', 'run.>', 'agent.>', 'farm'],
    maxAgeMs: 0,
    maxBytes: 4096 * mib,
    maxMsgBytes: 1 * mib,
    onePerSubject: false,
  },
  { name: 'TASKS', subjects: ['task.>'], maxAgeMs: 1 * hour, maxBytes: 1024 * mib, maxMsgBytes: 1 * mib, onePerSubject: true },
  { name: 'NOTICES', subjects: ['notice.>'], maxAgeMs: 0, maxBytes: 1024 * mib, maxMsgBytes: 64 * 1024, onePerSubject: true },
  { name: 'LOGS', subjects: ['log.>'], maxAgeMs: 0, maxBytes: 16_384 * mib, maxMsgBytes: 128 * 1024, onePerSubject: false },
];

/** The leader's heartbeat: core NATS, not stored. Its body is a `Heartbeat`. */
export const heartbeatSubject = 'heartbeat';
export type Heartbeat = {
  term: number;
  id: string;
  url: string /** The last one: it leads no more, and nobody need wait. */;
  leaving?: true;
};

/** 409-like refusals of JetStream that the farm tells apart. */
export const natsErrors = {
  wrongLastSequence: 10071,
  streamFull: 10077,
  insufficientResources: 10023,
  tooManyRequests: 10167,
} as const;

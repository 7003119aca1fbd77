import { type Static, Type } from 'typebox';
import { type AttemptKey, keyOf } from './task.ts';

const end = {
  exitCode: Type.Optional(Type.Integer()),
  signal: Type.Optional(Type.String({ maxLength: 16 })),
  message: Type.Optional(Type.String({ maxLength: 4096, description: 'One sentence for people, without a secret' })),
  logBytes: Type.Integer({ minimum: 0, description: 'Bytes of masked output; the log is complete when so many are stored' }),
  manifest: Type.Optional(
    Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the list of its artifacts; absent: it left none' }),
  ),
};

/**
 * A message of `NOTICES`, on `notice.<agent>.<run>.<step>.<attempt>.<n>`; who speaks about what stands in the subject only.
 * end.outcome: pass (exit 0), fail (another exit code, timeout), error (the step could not be run), stopped (by a cancel),
 * lost (the agent restarted and killed it). return: given back, never started or unharmed.
 */
export const Notice = Type.Union([
  Type.Object({ v: Type.Literal(1), type: Type.Literal('start'), atMs: Type.Integer() }),
  Type.Object({
    v: Type.Literal(1),
    type: Type.Literal('end'),
    atMs: Type.Integer(),
    outcome: Type.Union([
      Type.Literal('pass'),
      Type.Literal('fail'),
      Type.Literal('error'),
      Type.Literal('stopped'),
      Type.Literal('lost'),
    ]),
    ...end,
  }),
  Type.Object({
    v: Type.Literal(1),
    type: Type.Literal('return'),
    atMs: Type.Integer(),
    reason: Type.String({ maxLength: 1024 }),
    ...end,
  }),
]);
export type Notice = Static<typeof Notice>;

export type NoticeAddress = AttemptKey & { agent: string; n: number };

export const noticeSubject = (a: NoticeAddress): string => `notice.${a.agent}.${keyOf(a)}.${a.n}`;

/** One way to write each number, or one notice could be sent under several subjects. */
const counting = /^[1-9][0-9]*$/;

/** The address in a subject of `NOTICES`; undefined when it is none. */
export function parseNoticeSubject(subject: string): NoticeAddress | undefined {
  const [head, agent, run, step, attempt, n, ...rest] = subject.split('.');
  if (head !== 'notice' || !agent || !run || !step || !attempt || !n || rest.length > 0) return undefined;
  if (!counting.test(attempt) || !counting.test(n)) return undefined;
  const numbers = { attempt: Number(attempt), n: Number(n) };
  if (!Number.isSafeInteger(numbers.attempt) || !Number.isSafeInteger(numbers.n)) return undefined;
  return { agent, run, step, ...numbers };
}

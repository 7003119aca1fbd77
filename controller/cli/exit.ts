import { type ErrorCode, FarmError, messageOf } from '../../protocol/errors.ts';

/** What the process tells the script that called it. The help lists them. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unreachable: 5,
  interrupted: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitMeanings: readonly (readonly [ExitCode, string])[] = [
  [exitCodes.ok, 'done; with --follow: the run passed'],
  [exitCodes.failed, 'the run did not pass (run --follow, logs -f), or check found problems'],
  [exitCodes.usage, 'wrong usage'],
  [exitCodes.notFound, 'no such run, job, step, queue or agent'],
  [exitCodes.refused, 'the farm refused, or you are not logged in'],
  [exitCodes.unreachable, 'the farm cannot be reached, or cannot answer now'],
  [exitCodes.interrupted, 'interrupted (Ctrl-C)'],
];

/** Ends the command with a code when everything has been said already. */
export class Exit extends Error {
  override name = 'Exit';
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** The farm answered, and said no: an `ApiError`, in the farm's own words. `status` is 0 when it came over a WebSocket. */
export class Refusal extends Error {
  override name = 'Refusal';
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const byCode: Readonly<Partial<Record<string, ExitCode>>> = {
  BAD_USAGE: exitCodes.usage,
  BAD_SETTINGS: exitCodes.usage,
  NOT_FOUND: exitCodes.notFound,
  LOG_UNKNOWN: exitCodes.notFound,
  UNAUTHORIZED: exitCodes.refused,
  FORBIDDEN: exitCodes.refused,
  NOT_STARTED: exitCodes.refused,
  FARM_UNREACHABLE: exitCodes.unreachable,
  ANSWER_LOST: exitCodes.unreachable,
  BAD_ANSWER: exitCodes.unreachable,
  UNAVAILABLE: exitCodes.unreachable,
  NATS_UNREACHABLE: exitCodes.unreachable,
} satisfies Partial<Record<ErrorCode, ExitCode>>;

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof Exit) return error.exitCode;
  if (error instanceof FarmError) return byCode[error.code] ?? exitCodes.failed;
  if (!(error instanceof Refusal)) return exitCodes.failed;
  if (error.status === 404) return exitCodes.notFound;
  if (error.status >= 500) return exitCodes.unreachable;
  return byCode[error.code] ?? exitCodes.refused;
}

/** What to do about an error, where its own sentence does not say it. */
export function adviceFor(error: unknown): string | undefined {
  if (!(error instanceof Refusal)) return undefined;
  if (error.code === 'UNAUTHORIZED')
    return "name the file with the token with --token-file, or set THRESH_TOKEN; 'thresh up' writes it to .thresh/admin.token";
  if (error.status === 404 || error.code === 'NOT_FOUND')
    return "'thresh runs', 'thresh queues', 'thresh agents' and 'thresh deliveries' list what there is";
  if (error.code === 'BAD_HOST') return 'that is an option of the server (thresh up, thresh controller)';
  return undefined;
}

/** The `code` of an error, for scripts. */
export const codeOf = (error: unknown): string =>
  error instanceof FarmError || error instanceof Refusal ? error.code : 'UNEXPECTED';

/** One line for people: the sentence, and what to do. */
export function sentenceOf(error: unknown): string {
  const advice = adviceFor(error);
  return advice ? `${messageOf(error)}\n  ${advice}` : messageOf(error);
}

export const usage = (detail: string): FarmError<'BAD_USAGE'> => new FarmError('BAD_USAGE', { detail });

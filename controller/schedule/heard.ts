import type { AttemptEvent } from '../../protocol/attempt.ts';
import { isOpen } from '../../protocol/attempt.ts';
import type { Notice, NoticeAddress } from '../../protocol/notice.ts';
import { type AttemptEnd, attemptOf, type Run, type RunEvent } from '../../protocol/run.ts';

const meaning: Record<'pass' | 'fail' | 'error' | 'stopped' | 'lost', AttemptEvent> = {
  pass: 'pass',
  fail: 'fail',
  error: 'error',
  stopped: 'stopped',
  lost: 'expire',
};

/**
 * What a notice makes happen to a run. Refused: the attempt is not (or no longer) that agent's. Unchanged: late or repeated.
 * @param atMs when the leader decided, milliseconds since the epoch; the agent's own clock is not believed
 */
export function heard(
  run: Run | undefined,
  address: NoticeAddress,
  notice: Notice,
  atMs: number,
): RunEvent | 'refused' | 'unchanged' {
  const attempt = run && attemptOf(run, address.step, address.attempt);
  if (!attempt || attempt.agent !== address.agent || attempt.state === 'lost') return 'refused';
  if (!isOpen(attempt.state)) return 'unchanged';
  const { step, attempt: number } = address;
  if (notice.type === 'start')
    return attempt.state === 'assigned' ? { type: 'attempt', step, attempt: number, event: 'start', atMs } : 'unchanged';
  const event = notice.type === 'return' ? 'return' : meaning[notice.outcome];
  return { type: 'attempt', step, attempt: number, event, atMs, end: endOf(notice) };
}

function endOf(notice: Exclude<Notice, { type: 'start' }>): AttemptEnd {
  const { exitCode, signal, logBytes, manifest } = notice;
  const message = notice.type === 'return' ? notice.reason : notice.message;
  return {
    logBytes,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(message === undefined ? {} : { message }),
    ...(manifest === undefined ? {} : { manifest }),
  };
}

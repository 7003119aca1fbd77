import { isOpen } from '../../protocol/attempt.ts';
import { attemptOf, type Run } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { LogRight } from './ingest.ts';
import type { ViewState } from './view.ts';

/** A run by its id, from this replica's state or its index. */
export type FindRun = (id: string) => Run | undefined;

/** Whether an agent may send the log of an attempt: its own, while it is open, and up to the total that it stated at the end. */
export function rightTo(find: FindRun, agent: string, key: AttemptKey): LogRight {
  const run = find(key.run);
  const attempt = run && attemptOf(run, key.step, key.attempt);
  if (!attempt) return 'unknown';
  if (attempt.agent !== agent) return 'revoked';
  if (isOpen(attempt.state)) return 'open';
  return attempt.logBytes === undefined ? 'revoked' : { ended: attempt.logBytes };
}

/** How an attempt stands, for whoever reads its log. */
export function viewOf(find: FindRun, key: AttemptKey): ViewState | undefined {
  const run = find(key.run);
  const attempt = run && attemptOf(run, key.step, key.attempt);
  if (!attempt) return undefined;
  const state = { state: attempt.state, open: isOpen(attempt.state) };
  return attempt.logBytes === undefined ? state : { ...state, total: attempt.logBytes };
}

import { isOpen } from '../../protocol/attempt.ts';
import type { Beat, Orders } from '../../protocol/beat.ts';
import type { Farm } from '../../protocol/farm.ts';
import { attemptOf, hasEnded } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';

/** The states that orders are given by: what is stored, and what the leader has decided beyond that. */
export type Known = { confirmed: Pick<Farm, 'runs' | 'agents'>; sent: Pick<Farm, 'runs'> };

/** What an agent must be told, by what it says it holds. Level-triggered: said again until the agent's beats show that it was heard. */
export function orders(agent: string, beat: Beat, known: Known, term: number): { orders: Orders; urgent: boolean } {
  const state = known.confirmed.agents.get(agent)?.state ?? 'revoked';
  const cancel: AttemptKey[] = [];
  const revoke: AttemptKey[] = [];
  for (const { stopping, ...key } of beat.held) {
    if (state === 'revoked' || !holds(agent, key, known)) revoke.push(key);
    else if (!stopping && isStopping(key, known)) cancel.push(key);
  }
  const forget = beat.workspaces.filter((name) => isUnused(agent, name, known));
  // The leader gives a draining agent nothing but steps of runs whose workspace it has; the agent need not do anything for that.
  const drain = state === 'draining';
  return {
    orders: { v: 1, type: 'orders', term, cancel, revoke, forget, drain },
    urgent: cancel.length > 0 || revoke.length > 0,
  };
}

/** Whether the attempt is the agent's, in either state: an assignment may be stored and not yet folded, an end decided and not yet stored. */
function holds(agent: string, key: AttemptKey, { confirmed, sent }: Known): boolean {
  return [confirmed, sent].some(({ runs }) => {
    const run = runs.get(key.run);
    const attempt = run && attemptOf(run, key.step, key.attempt);
    return attempt !== undefined && attempt.agent === agent && isOpen(attempt.state);
  });
}

function isStopping(key: AttemptKey, { confirmed }: Known): boolean {
  const run = confirmed.runs.get(key.run);
  return run !== undefined && attemptOf(run, key.step, key.attempt)?.state === 'stopping';
}

/** A workspace (`run.round`) is unused when its run has ended or is unknown, or went on in another round or on another agent. */
function isUnused(agent: string, name: string, { confirmed, sent }: Known): boolean {
  const [id = '', round = ''] = name.split('.');
  if (!confirmed.runs.has(id) && sent.runs.has(id)) return false;
  const run = confirmed.runs.get(id);
  if (!run || hasEnded(run)) return true;
  return run.round > Number(round) || (run.round === Number(round) && run.home !== undefined && run.home !== agent);
}

import { isOpen } from '../../protocol/attempt.ts';
import { attemptOf, type Run } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';

/** unknown: this replica has not heard of the attempt yet. */
export type ArtifactRight = 'open' | 'over' | 'unknown';

/** Whether an agent may send artifacts of an attempt: its own, while it is open. Its end names all that counts. */
export function artifactRight(find: (run: string) => Run | undefined, agent: string, key: AttemptKey): ArtifactRight {
  const run = find(key.run);
  const attempt = run && attemptOf(run, key.step, key.attempt);
  if (!attempt) return 'unknown';
  return attempt.agent === agent && isOpen(attempt.state) ? 'open' : 'over';
}

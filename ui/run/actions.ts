import type { VerdictAnswer } from '../../protocol/api.ts';
import type { Run } from '../../protocol/run.ts';
import { messageOf, post } from '../api.ts';
import { ask, say } from '../dialog.tsx';
import { go } from '../router.ts';
import { plain } from '../words.ts';

export function cancelRun(run: Run): void {
  const again = run.cancel !== undefined;
  ask({
    title: again ? 'Cancel it at once?' : `Cancel this run of ${plain(run.job)}?`,
    text: again
      ? 'It does not wait for its closing steps any more.'
      : 'Steps that run are told to stop; closing steps (finally) still run, unless it has to end at once.',
    confirm: 'Cancel the run',
    danger: true,
    reason: 'Why, for whoever looks',
    ...(!again && { option: 'At once: without its closing steps' }),
    act: async ({ reason, option }) => {
      await post(`/api/runs/${run.id}/cancel`, { force: again || option, ...(reason && { reason }) });
      say('The run is asked to stop.');
    },
  });
}

export async function retryRun(run: Run): Promise<void> {
  try {
    const { runs } = await post<VerdictAnswer>(`/api/runs/${run.id}/retry`);
    const [next] = runs;
    if (next === undefined) return say('The retry is stored and not decided yet.');
    go(`/runs/${next}`);
    say('This is the new run.');
  } catch (error) {
    say(`It was not retried: ${messageOf(error)}`);
  }
}

import type { Command } from 'commander';
import { verdictAnswer } from './answers.ts';
import { asClient, type Cli, type Work } from './cli.ts';
import { clientOptions, examples } from './help.ts';
import { parseRunId } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { plain } from './text.ts';
import { sayDone } from './verdict.ts';

type CancelOptions = ClientOptions & { force?: boolean; reason?: string };

export function addCancel(parent: Command, cli: Cli): void {
  const command = parent
    .command('cancel')
    .description('end a run that is queued or running')
    .argument('<run>', 'id of the run, or its address', parseRunId)
    .option('--force', 'do not wait for the steps that clean up (finally)')
    .option('--reason <text>', 'why, for whoever looks at the run')
    .action((id: string, o: CancelOptions) => asClient(cli, o, (w) => cancel(id, o, w)));
  clientOptions(command);
  examples(command, [
    ["thresh cancel 1905522071432466432 --reason 'wrong branch'", 'its steps are asked to stop, then its finally steps run'],
    ['thresh cancel 1905522071432466432 --force', 'the finally steps are cancelled too'],
  ]);
}

async function cancel(id: string, o: CancelOptions, w: Work): Promise<void> {
  const body = { ...(o.force ? { force: true } : {}), ...(o.reason ? { reason: o.reason } : {}) };
  const answer = await w.farm.post(['api', 'runs', id, 'cancel'], body, verdictAnswer, { repeatable: true });
  sayDone(answer, `run ${id} is asked to stop`, w);
}

export function addRetry(parent: Command, cli: Cli): void {
  const command = parent
    .command('retry')
    .description('run the same source again, as a new run')
    .argument('<run>', 'id of the run, or its address', parseRunId)
    .action((id: string, o: ClientOptions) => asClient(cli, o, (w) => retry(id, w)));
  clientOptions(command);
  examples(command, [['thresh retry 1905522071432466432', 'prints the id of the new run; the old one stays as it is']]);
}

async function retry(id: string, w: Work): Promise<void> {
  const look = "see whether there is a new run with 'thresh runs'";
  const answer = await w.farm.post(['api', 'runs', id, 'retry'], {}, verdictAnswer, { look });
  const runs = answer.runs.map((r) => `run ${w.out.paint('bold', plain(r))}`).join(', ');
  sayDone(answer, `${runs || 'nothing new'}, a retry of ${id}`, w);
}

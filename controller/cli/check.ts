import type { Command } from 'commander';
import type { Problem } from '../../protocol/job.ts';
import { type Cli, printJson } from './cli.ts';
import { Exit, exitCodes } from './exit.ts';
import { examples } from './help.ts';
import { terminal } from './terminal.ts';
import { count, plain } from './text.ts';

export function addCheck(parent: Command, cli: Cli): void {
  const command = parent
    .command('check')
    .description('look for problems in a job configuration, as the farm would')
    .argument('<dir>', 'directory with job files')
    .option('--json', 'print {problems, summary}')
    .action((dir: string, o: { json?: boolean }) => check(dir, o.json === true, cli));
  examples(command, [
    ['thresh check ./jobs', 'every problem with its file and line; exit code 1 when there is one'],
    ['thresh check ./jobs --json', 'for a script or an editor'],
  ]);
}

async function check(dir: string, json: boolean, cli: Cli): Promise<void> {
  const out = terminal(cli.out, cli.env);
  const answer = await cli.actions.check({ dir });
  if (json) printJson(out, answer);
  else {
    for (const problem of answer.problems) out.line(`${out.paint('bold', placeOf(problem))}: ${problemOf(problem)}`);
    const found = answer.problems.length;
    const verdict = found === 0 ? out.paint('green', 'no problems') : out.paint('red', count(found, 'problem'));
    out.line(`${verdict}: ${plain(answer.summary)}`);
  }
  if (answer.problems.length > 0) throw new Exit(exitCodes.failed);
}

/** 'file:line:column', which editors and terminals make a link. */
const placeOf = (p: Problem): string =>
  plain([p.file, ...(p.line === undefined ? [] : [p.line, ...(p.column === undefined ? [] : [p.column])])].join(':'));

const problemOf = (p: Problem): string => `${p.job === undefined ? '' : `job '${plain(p.job)}': `}${plain(p.message)}`;

import type { Command } from 'commander';
import { exitMeanings } from './exit.ts';
import { defaultUrl } from './settings.ts';

export const groups = {
  servers: 'Servers:',
  runs: 'Runs:',
  farm: 'The farm:',
  configuration: 'Configuration and events:',
} as const;

/** The options that every client command has. */
export const clientOptions = (command: Command): Command =>
  command
    .optionsGroup('The farm:')
    .option(
      '--url <urls>',
      `address of the farm; several with commas are replicas, tried in order (default: THRESH_URL, or ${defaultUrl})`,
    )
    .option('--token-file <file>', 'file with the token (default: THRESH_TOKEN, or .thresh/admin.token here)')
    .option('--json', 'print JSON for scripts: one document, or with --follow one per line; errors as JSON on standard error');

/** What the options and arguments alone do not teach. */
export function examples(command: Command, list: readonly (readonly [command: string, what: string])[], notes?: string): void {
  const lines = list.map(([text, what]) => `  ${text}\n      ${what}`);
  command.addHelpText('after', `${notes ? `\n${notes}\n` : ''}\n${bold('Examples:')}\n${lines.join('\n')}`);
}

/** For help only: commander takes colours away again where they are not wanted. */
export const bold = (text: string): string => `\x1b[1m${text}\x1b[0m`;
export const cyan = (text: string): string => `\x1b[36m${text}\x1b[0m`;

const table = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, what]) => `  ${name.padEnd(width)}  ${what}`).join('\n');
};

export const environmentHelp = (): string => `
${bold('Environment:')}
${table([
  ['THRESH_URL', `address of the farm, or several with commas (default ${defaultUrl})`],
  ['THRESH_TOKEN', 'token with which to log in; else .thresh/admin.token in this directory is read'],
  ['NO_COLOR', 'no colours; they are only used on a terminal anyway'],
  ['FORCE_COLOR', 'colours even when the output is no terminal; 0: never'],
  ['THRESH_DEBUG', 'errors with where in the program they came from'],
])}

${bold('Exit codes:')}
${table(exitMeanings.map(([code, meaning]) => [String(code), meaning] as const))}

${bold('Begin here:')}
  thresh up --jobs ./jobs          a whole farm on this machine
  thresh run hello --follow        run a job, watch it
  thresh help COMMAND              everything about one command, with examples`;

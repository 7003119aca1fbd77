import type { Command } from 'commander';
import { loginLinkAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { clientOptions, examples } from './help.ts';
import type { ClientOptions } from './settings.ts';
import { duration, plain } from './text.ts';

export function addLogin(parent: Command, cli: Cli): void {
  const command = parent
    .command('login')
    .description("print a link that logs a browser in to the farm's pages, once")
    .action((o: ClientOptions) => asClient(cli, o, (w) => login(w)));
  clientOptions(command);
  examples(
    command,
    [
      ['thresh login', 'open the link within ten minutes'],
      ['thresh login --url https://ci.example.org', 'of a farm elsewhere'],
    ],
    'With several replicas, the link works at the one that printed it.',
  );
}

async function login(w: Work): Promise<void> {
  const answer = await w.farm.post(['api', 'login-links'], {}, loginLinkAnswer, { repeatable: true });
  const url = new URL('login', w.farm.url());
  url.hash = plain(answer.code);
  if (w.json) return printJson(w.out, { ...answer, url: url.href });
  w.out.line(url.href);
  w.err.line(w.err.paint('dim', `works once, within ${duration(answer.expiresAtMs - w.now())}`));
}

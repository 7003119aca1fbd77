import type { Command } from 'commander';
import { type Cli, printJson } from './cli.ts';
import { examples } from './help.ts';
import { defaultData } from './settings.ts';
import { terminal } from './terminal.ts';
import { plain } from './text.ts';

export function addNatsConfig(parent: Command, cli: Cli): void {
  const command = parent
    .command('nats-config')
    .description('write keys and configuration for a NATS server of your own')
    .argument('<dir>', 'where to write them')
    .option('--data <dir>', "where the farm's data is kept", defaultData)
    .option('--json', 'print {files}')
    .action(async (dir: string, o: { data: string; json?: boolean }) => {
      const out = terminal(cli.out, cli.env);
      const answer = await cli.actions.natsConfig({ dir, data: o.data });
      if (o.json) return printJson(out, answer);
      for (const file of answer.files) out.line(plain(file));
    });
  examples(command, [
    [
      'thresh nats-config /etc/thresh/nats',
      "then: nats-server -c of what it wrote, and 'thresh controller --nats URL --nats-dir DIR'",
    ],
  ]);
}

import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import type { ArtifactList } from '../../protocol/artifact.ts';
import { messageOf } from '../../protocol/errors.ts';
import { artifactsAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { Refusal, usage } from './exit.ts';
import { clientOptions, examples } from './help.ts';
import { asIs, parseRunId } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { printTable } from './table.ts';
import { count, plain } from './text.ts';

type ArtifactOptions = ClientOptions & { output?: string };

export function addArtifacts(parent: Command, cli: Cli): void {
  const command = parent
    .command('artifacts')
    .description('list the files that the steps of a run have left; or get one')
    .argument('<run>', 'id of the run, or its address', parseRunId)
    .argument('[file]', 'STEP/PATH of one, as the list has it')
    .option('-o, --output <file>', 'write it here instead of on standard output', asIs)
    .action((run: string, file: string | undefined, o: ArtifactOptions) =>
      asClient(cli, o, (w) => (file === undefined ? list(run, o, w) : get(run, file, o, w))),
    );
  clientOptions(command);
  examples(command, [
    ['thresh artifacts 1905522071432466432', 'what there is, with sizes; and what was refused, and why'],
    ['thresh artifacts 1905522071432466432 test/junit.xml', 'one file, on standard output'],
    ['thresh artifacts 1905522071432466432 build/app.tar.gz -o app.tar.gz', 'one file, whole or not at all'],
  ]);
}

const listOf = (run: string, w: Work): Promise<ArtifactList> =>
  w.farm.get(['api', 'runs', run, 'artifacts'], {}, artifactsAnswer);

async function list(run: string, o: ArtifactOptions, w: Work): Promise<void> {
  if (o.output !== undefined) throw usage('-o wants the FILE that it is for');
  const answer = await listOf(run, w);
  if (w.json) return printJson(w.out, answer);
  if (answer.files.length === 0) w.err.line('no artifacts');
  else
    printTable<ArtifactList['files'][number]>(w.out, answer.files, [
      { title: 'BYTES', cell: (f) => f.sizeBytes, right: true },
      { title: 'FILE', cell: (f) => `${f.step}/${f.path}` },
    ]);
  if (answer.truncated) w.err.line('there are more than are listed here');
  for (const { step, path, why } of answer.refused) w.err.line(`${plain(step)}/${plain(path)} was not stored: ${plain(why)}`);
  const unnamed = answer.refusedCount - answer.refused.length;
  if (unnamed > 0) w.err.line(`${count(unnamed, 'more file')} ${unnamed === 1 ? 'was' : 'were'} not stored`);
}

async function get(run: string, name: string, o: ArtifactOptions, w: Work): Promise<void> {
  const file = (await listOf(run, w)).files.find((f) => `${f.step}/${f.path}` === name);
  if (!file)
    throw new Refusal(404, 'NOT_FOUND', `run ${run} has no artifact '${plain(name)}'; 'thresh artifacts ${run}' lists them`);
  if (o.output === undefined && w.out.tty) throw usage('the bytes of a file are not for a terminal: say -o FILE, or pipe them');
  const bytes = await w.farm.bytes(['api', 'runs', run, 'artifacts', file.step, ...file.path.split('/')], {}, w.signal);
  if (o.output === undefined) {
    for await (const piece of bytes) await w.out.bytes(piece);
    return;
  }
  await writeWhole(o.output, bytes, file.sha256);
}

/** The file appears when its last byte is there, and is what was stored. */
async function writeWhole(path: string, bytes: AsyncIterable<Uint8Array>, sha256: string): Promise<void> {
  const aside = `${path}.part`;
  const hash = createHash('sha256');
  try {
    const file = await open(aside, 'w');
    try {
      for await (const piece of bytes) {
        hash.update(piece);
        await file.writeFile(piece);
      }
    } finally {
      await file.close();
    }
    if (hash.digest('hex') !== sha256) throw new Error('it did not arrive as it was stored; try again');
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw usage(`-o ${path}: ${messageOf(error)}`);
  }
}

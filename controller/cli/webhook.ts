import { createHmac, randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { messageOf } from '../../protocol/errors.ts';
import { hookAnswer } from './answers.ts';
import { asClient, type Cli, printJson, type Work } from './cli.ts';
import { codeOf, Exit, exitCodeOf, exitCodes, Refusal, usage } from './exit.ts';
import { clientOptions, examples } from './help.ts';
import { parseName, parseWhole } from './parse.ts';
import type { ClientOptions } from './settings.ts';
import { type Column, printTable } from './table.ts';
import { count, plain } from './text.ts';

type WebhookOptions = ClientOptions & {
  event: string;
  secretFile?: string;
  delivery?: string;
  repeat: number;
  concurrency: number;
};

/** GitHub sends no more. */
const maxBodyBytes = 25 * 1024 * 1024;
/** How often one delivery is sent when nobody answers, or with 5xx. Its id stays the same, so it counts once. */
const tries = 4;
const firstWaitMs = 250;

export function addWebhook(parent: Command, cli: Cli): void {
  const command = parent
    .command('webhook')
    .description('send signed events to the farm, as GitHub does')
    .argument('<file...>', "the body of an event, JSON; '-' reads it from standard input")
    .requiredOption('--event <name>', 'X-GitHub-Event: push, pull_request, issue_comment...', parseName('event'))
    .option('--secret-file <file>', "the webhook's secret, as in 'thresh up --webhook-secret-file' (without: not signed)")
    .option('--delivery <id>', 'X-GitHub-Delivery (default: a new one each time)', parseName('delivery'))
    .option('--repeat <n>', 'send each file so many times', parseWhole(1, 1_000_000), 1)
    .option('--concurrency <n>', 'requests under way at the same time', parseWhole(1, 256), 8)
    .action((files: string[], o: WebhookOptions) => asClient(cli, o, (w) => webhook(files, o, cli, w)));
  clientOptions(command);
  examples(
    command,
    [
      ['thresh webhook push.json --event push --secret-file hook.secret', 'one event'],
      ['thresh webhook pr/*.json --event pull_request --secret-file hook.secret', 'several, each with an id of its own'],
      [
        'thresh webhook push.json --event push --secret-file hook.secret --delivery a1 --repeat 3',
        'the same delivery: it counts once',
      ],
    ],
    'What the farm refuses (4xx) is listed and not sent again. What nobody answers is sent again under the same id, which is safe.',
  );
}

type Event = { file: string; body: Buffer; signature: string | undefined };
type Sent = { file: string; delivery: string; duplicate: boolean };
type Unsent = { file: string; delivery: string; status: number; code: string; reason: string; refused: boolean };

async function webhook(files: string[], o: WebhookOptions, cli: Cli, w: Work): Promise<void> {
  if (o.delivery !== undefined && files.length > 1)
    throw usage('--delivery wants one file: different bodies cannot be one delivery');
  const secret = o.secretFile === undefined ? undefined : await readSecret(o.secretFile);
  const events: Event[] = [];
  for (const file of files) {
    const body = await readBody(file, cli);
    events.push({ file, body, signature: secret === undefined ? undefined : sign(body, secret) });
  }
  const sent: Sent[] = [];
  const unsent: Unsent[] = [];
  await atMost(o.concurrency, planned(events, o), async ({ event, delivery }) => {
    try {
      const answer = await send(event, delivery, o.event, cli.version, w);
      sent.push({ file: event.file, delivery: answer.delivery, duplicate: answer.duplicate });
    } catch (error) {
      w.signal.throwIfAborted();
      unsent.push({ file: event.file, delivery, ...reasonOf(error) });
    }
  });
  report(sent, unsent, w);
  if (unsent.some((u) => u.refused)) throw new Exit(exitCodes.refused);
  if (unsent.length > 0) throw new Exit(exitCodes.unreachable);
}

function* planned(events: readonly Event[], o: WebhookOptions): Generator<{ event: Event; delivery: string }> {
  for (let i = 0; i < o.repeat; i++) for (const event of events) yield { event, delivery: o.delivery ?? randomUUID() };
}

/** The value of X-Hub-Signature-256. */
export const sign = (body: Uint8Array, secret: string): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

async function readSecret(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw usage(`--secret-file: ${messageOf(error)}`);
  });
  const secret = text.trim();
  if (secret === '') throw usage(`--secret-file: ${file} is empty`);
  return secret;
}

/** The bytes as they are: the signature is over them. @throws FarmError BAD_USAGE */
async function readBody(file: string, cli: Cli): Promise<Buffer> {
  const body = await (file === '-' ? readAll(cli.stdin) : readSmall(file)).catch((error: unknown) => {
    throw usage(`cannot read ${file}: ${messageOf(error)}`);
  });
  try {
    JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw usage(`${file} is not JSON: ${plain(messageOf(error))}`);
  }
  return body;
}

async function readSmall(file: string): Promise<Buffer> {
  if ((await stat(file)).size > maxBodyBytes) throw new Error(tooBig);
  return readFile(file);
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    if (bytes > maxBodyBytes) throw new Error(tooBig);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const tooBig = `it is larger than ${maxBodyBytes} bytes, the most that GitHub sends`;

async function send(event: Event, delivery: string, name: string, version: string, w: Work) {
  const headers = {
    'content-type': 'application/json',
    'user-agent': `GitHub-Hookshot/thresh-${version}`,
    'x-github-event': name,
    'x-github-delivery': delivery,
    ...(event.signature === undefined ? {} : { 'x-hub-signature-256': event.signature }),
  };
  for (let i = 1, waitMs = firstWaitMs; ; i++, waitMs *= 2) {
    try {
      return await w.farm.send(['hook'], { bytes: event.body, headers }, hookAnswer);
    } catch (error) {
      if (i === tries || exitCodeOf(error) !== exitCodes.unreachable) throw error;
      await w.sleep(waitMs, w.signal);
    }
  }
}

const reasonOf = (error: unknown): Pick<Unsent, 'status' | 'code' | 'reason' | 'refused'> => ({
  status: error instanceof Refusal ? error.status : 0,
  code: codeOf(error),
  reason: messageOf(error),
  refused: exitCodeOf(error) !== exitCodes.unreachable,
});

/** Calls `work` for each item, `most` at a time. The first that throws ends it. */
async function atMost<T>(most: number, items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = queue.next(); !next.done; next = queue.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: most }, worker));
}

/** More deliveries than these are counted, not listed. */
const maxListed = 20;

function report(sent: Sent[], unsent: Unsent[], w: Work): void {
  const duplicates = sent.filter((s) => s.duplicate).length;
  const all = sent.length + unsent.length;
  if (w.json) printJson(w.out, { sent: all, accepted: sent.length, duplicates, deliveries: sent, unsent });
  else {
    if (sent.length <= maxListed) for (const s of sent) w.out.line(acceptedLine(s, w));
    if (unsent.length > 0) printTable(w.out, unsent, unsentColumns);
    const known = duplicates > 0 ? ` (${duplicates} known already)` : '';
    w.out.line(
      `${count(all, 'event')} sent: ${sent.length} accepted${known}${unsent.length > 0 ? `, ${unsent.length} not` : ''}`,
    );
    if (sent.length > 0) w.err.line(w.err.paint('dim', "'thresh deliveries' shows what they led to"));
  }
}

const acceptedLine = (s: Sent, w: Work): string =>
  `accepted ${plain(s.delivery)} ${w.out.paint('dim', s.duplicate ? 'known already' : plain(s.file))}`;

const unsentColumns: Column<Unsent>[] = [
  { title: 'FILE', cell: (u) => u.file },
  { title: 'DELIVERY', cell: (u) => u.delivery },
  { title: 'STATUS', cell: (u) => u.status || 'none', right: true },
  { title: 'REASON', cell: (u) => `${u.code}: ${u.reason}`, gives: true },
];

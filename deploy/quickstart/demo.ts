import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { cloneForDemo } from './clone.ts';
import { farmOf } from './farm.ts';
import { pullRequestPayload, pushPayload } from './payloads.ts';
import { watchRuns } from './watch.ts';

/*
 * `npm run demo [-- --once]`: a whole farm on this machine, which runs this repository's own checks because GitHub says (by recorded webhooks)
 * that somebody pushed and opened a pull request.
 */

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { values: options } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    data: { type: 'string', default: join(root, '.thresh', 'demo') },
    listen: { type: 'string', default: '127.0.0.1:8787' },
    executor: { type: 'string', default: 'auto' },
    nats: { type: 'string' },
  },
});

const say = (text: string) => process.stdout.write(`${process.stdout.isTTY ? text : stripVTControlCharacters(text)}\n`);

async function main(): Promise<number> {
  const { data } = options;
  await rm(data, { recursive: true, force: true });
  await mkdir(data, { recursive: true });
  say('Cloning this repository, as GitHub would hold it.');
  const clone = await cloneForDemo(root, join(data, 'hello-world.git'));
  await mkdir(join(data, 'jobs'));
  const jobs = await readFile(join(root, 'deploy', 'quickstart', 'jobs', 'thresh.yaml'), 'utf8');
  await writeFile(join(data, 'jobs', 'thresh.yaml'), jobs.replaceAll('CLONE_URI', clone.uri));

  say('Starting the farm: nats-server, a controller, two agents.');
  const farm = await farmOf({ root, ...options, data });
  const stopped = stopOnSignal();
  try {
    say(`The farm is at ${farm.url}\n`);
    const push = await farm.webhook('push', pushPayload(clone));
    const pull = await farm.webhook('pull_request', pullRequestPayload(clone));
    say(
      `Sent a push of ${clone.head.slice(0, 7)} and pull request #${clone.pull.number} at ${clone.pull.sha.slice(0, 7)}, signed as GitHub signs.\n`,
    );
    const results = await Promise.race([watchRuns(farm, [push, pull], say), stopped]);
    if (results === 'stopped') return 130;
    say('');
    for (const line of await farm.summary(results)) say(line);
    if (options.once) return results.every((r) => r.state === 'passed') ? 0 : 1;
    say('\nThe farm stays up until Ctrl-C.');
    await stopped;
    return 0;
  } finally {
    say('Stopping agents, controller and nats-server.');
    await farm.stop();
  }
}

function stopOnSignal(): Promise<'stopped'> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve('stopped'));
  });
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});

#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino, { type Logger } from 'pino';
import packageJson from '../package.json' with { type: 'json' };
import { secretFields } from '../protocol/secret-fields.ts';
import { runProgram } from './cli/program.ts';
import type { Actions, AgentOptions, LogLevel } from './cli/server.ts';
import { builtPage, controllerSettings, environment, natsLogin } from './config.ts';
import { startController } from './controller.ts';
import { summarise } from './jobs/describe.ts';
import { loadJobs } from './jobs/load.ts';
import { lockDir } from './store/dir-lock.ts';
import { writeNatsFiles } from './store/nats-files.ts';
import { startUp } from './up.ts';

// What this program writes is its user's alone; its directories can be passed, not listed: steps of another user work below them.
process.umask(0o066);

/** Servers log JSON on standard error, one line a fact; standard output is for what people asked for. */
const logger = (level: LogLevel): Logger =>
  pino({ level, base: { pid: process.pid }, redact: [...secretFields] }, pino.destination({ dest: 2, sync: true }));

const agentMain = fileURLToPath(new URL(`../agent/main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url));

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
const untilStopped = (): Promise<NodeJS.Signals> =>
  new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        process.on(signal, () => process.exit(130));
        done(signal);
      });
  });

const clocks = { now: () => performance.now(), wallMs: () => Date.now() };

const actions: Actions = {
  up: async (o) => {
    const log = logger(o.logLevel);
    const stopped = untilStopped();
    const up = await startUp(o, { log, agentCommand: [process.execPath, agentMain] });
    const pages = existsSync(join(builtPage, 'index.html'))
      ? `log in once, within ten minutes: ${up.controller.loginLink()}`
      : "its pages were not built: 'npm run build' in the checkout makes them";
    process.stdout.write(
      `Thresh is up at ${up.controller.url}\n${pages}\nadmin token: ${up.adminTokenFile}\nCtrl-C stops everything.\n`,
    );
    log.info({ signal: await stopped }, 'stopping');
    await up.stop();
  },
  controller: async (o) => {
    const log = logger(o.logLevel);
    const stopped = untilStopped();
    const data = resolve(o.data);
    await mkdir(data, { recursive: true, mode: 0o711 });
    await using _lock = await lockDir(data);
    const nats = await natsLogin(o.nats ?? 'nats://127.0.0.1:4222', o.natsDir ?? join(data, 'nats'));
    await using _controller = await startController(await controllerSettings(o, nats), { log, ...clocks });
    log.info({ signal: await stopped }, 'stopping');
  },
  agent: (o) => runAgent(o),
  natsConfig: async ({ dir }) => {
    const files = await writeNatsFiles(resolve(dir), { port: 4222 });
    return {
      files: [
        files.config,
        join(files.dir, 'agents.conf'),
        join(files.dir, 'controller.seed'),
        join(files.dir, 'controller.curve'),
      ],
    };
  },
  check: async ({ dir }) => {
    const loaded = await loadJobs(resolve(dir));
    return { problems: loaded.problems, summary: summarise(loaded) };
  },
};

/** The agent is a program of its own: `thresh agent` becomes it. */
async function runAgent({
  urls,
  token,
  tokenFile,
  name,
  data,
  queues,
  slots,
  executor,
  policy,
  defaultImage,
  stepUser,
  allowFileClone,
  logLevel,
}: AgentOptions): Promise<void> {
  const args = urls.flatMap((url) => ['--url', url]);
  const option = (key: string, value: string | undefined) => (value === undefined ? [] : [key, value]);
  args.push(
    ...option('--token-file', tokenFile),
    ...option('--name', name),
    ...option('--queues', queues?.join(',')),
    ...option('--policy', policy),
    ...option('--default-image', defaultImage),
    ...option('--step-user', stepUser),
  );
  args.push(...option('--slots', slots?.toString()), ...option('--executor', executor));
  args.push('--data', data, '--log-level', logLevel);
  if (allowFileClone) args.push('--allow-file-clone');
  const env = token === undefined ? environment : { ...environment, THRESH_JOIN_TOKEN: token };
  const child = spawn(process.execPath, [agentMain, ...args], { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  await new Promise<void>((done) =>
    child.once('exit', (code) => {
      process.exitCode = code ?? 1;
      done();
    }),
  );
}

const code = await runProgram(
  { out: process.stdout, err: process.stderr, env: environment, version: packageJson.version, actions },
  process.argv.slice(2),
);
process.exitCode ||= code;

import { setTimeout as wait } from 'node:timers/promises';
import { type FarmClient, farmClient } from './client.ts';
import { codeOf, Exit, exitCodeOf, exitCodes, sentenceOf } from './exit.ts';
import type { Actions } from './server.ts';
import { type ClientOptions, clientSettings } from './settings.ts';
import { type OpenSocket, openSocket } from './socket.ts';
import { type Env, type Output, type Terminal, terminal } from './terminal.ts';
import { safeJson } from './text.ts';

/** What the command line needs of the process that it runs in. What may be left out is then Node's own. */
export type CliDeps = {
  out: Output;
  err: Output;
  env: Env;
  version: string;
  actions: Actions;
  /** Where `-` is read from. */
  stdin?: AsyncIterable<Uint8Array>;
  cwd?: string;
  fetch?: typeof fetch;
  openSocket?: OpenSocket;
  /** Milliseconds since the epoch. */
  now?: () => number;
  /** Rejects when the signal aborts. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Calls `stop` when the person wants to end the command. @returns how to listen no longer */
  onInterrupt?: (stop: () => void) => () => void;
};
export type Cli = Required<CliDeps>;

export function withDefaults(deps: CliDeps): Cli {
  return {
    stdin: process.stdin,
    cwd: process.cwd(),
    fetch: globalThis.fetch,
    openSocket,
    now: Date.now,
    sleep: (ms, signal) => wait(ms, undefined, { signal }),
    onInterrupt: (stop) => {
      process.once('SIGINT', stop);
      return () => process.off('SIGINT', stop);
    },
    ...deps,
  };
}

/** What a client command works with. */
export type Work = {
  farm: FarmClient;
  out: Terminal;
  err: Terminal;
  json: boolean;
  /** Aborts when the person interrupts, or nobody reads the output any more; its reason is the `Exit` to end with. */
  signal: AbortSignal;
  now: () => number;
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

/** Prints one JSON document, indented for people who look at it; scripts do not mind. */
export const printJson = (out: Terminal, value: unknown): void => out.line(safeJson(value, 2));

/** The same on one line, for documents that follow each other. */
export const printJsonLine = (out: Terminal, value: unknown): void => out.line(safeJson(value));

/**
 * Runs a client command: finds the farm, and turns whatever goes wrong into a sentence and an exit code.
 * @throws Exit only; all has been said by then
 */
export async function asClient(cli: Cli, o: ClientOptions, work: (w: Work) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const [out, err] = [terminal(cli.out, cli.env, stop.signal), terminal(cli.err, cli.env)];
  const listenNoLonger = cli.onInterrupt(() => stop.abort(new Exit(exitCodes.interrupted)));
  const onOutputError = () => stop.abort(new Exit(exitCodes.ok));
  cli.out.on('error', onOutputError);
  try {
    const { urls, token } = await clientSettings(o, cli.env, cli.cwd);
    const farm = farmClient({
      urls,
      token,
      fetch: cli.fetch,
      openSocket: cli.openSocket,
      userAgent: `thresh/${cli.version}`,
      signal: stop.signal,
    });
    await work({ farm, out, err, json: o.json === true, signal: stop.signal, now: cli.now, sleep: cli.sleep });
  } catch (error) {
    stop.signal.throwIfAborted();
    if (!(error instanceof Exit)) sayError(err, error, o.json === true, cli.env);
    throw new Exit(exitCodeOf(error));
  } finally {
    listenNoLonger();
    cli.out.off('error', onOutputError);
  }
}

/** Prints an error where errors go: one sentence and what to do, or with --json an `ApiError`. A stack only for THRESH_DEBUG. */
export function sayError(err: Terminal, error: unknown, json: boolean, env: Env): void {
  if (json) printJsonLine(err, { error: { code: codeOf(error), message: sentenceOf(error) } });
  else err.line(`${err.paint('red', 'thresh:')} ${sentenceOf(error)}`);
  if (env.THRESH_DEBUG && error instanceof Error) err.line(error.stack ?? '');
}

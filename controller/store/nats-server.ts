import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../protocol/errors.ts';
import { lockDir } from './dir-lock.ts';
import type { NatsBinary } from './find-nats-server.ts';
import { endOrphan, endServer, type Leash, launchNats, type ServerProcess } from './launch-nats.ts';
import type { Log } from './log.ts';
import { type NatsFiles, type NatsFilesOptions, natsPaths, textOf, writeNatsFiles } from './nats-files.ts';
import { reloadServer } from './nats-reload.ts';
import { versionAtLeast } from './nats-version.ts';

export type NatsServerOptions = NatsFilesOptions & {
  /** The server's directory, of its own inside the data directory. */
  dir: string;
  /** From `findNatsServer`. One below 2.10 runs without `syncAlways`, which it does not know. */
  binary: NatsBinary;
  log: Log;
  /** After each restart that was not asked for. The streams are there again; connections come back by themselves. */
  onRestart?: () => void;
  leash?: Leash;
};

export type NatsServer = AsyncDisposable & {
  /** Stays the same over restarts. */
  url: string;
  files: NatsFiles;
  /** undefined while it is down. */
  pid: () => number | undefined;
  /** Disconnect the clients first. */
  stop: () => Promise<void>;
};

const firstWaitMs = 100;
const longestWaitMs = 5_000;
/** A server that ran so long has recovered: the next restart is quick again. */
const steadyMs = 30_000;

/**
 * Runs a nats-server as a child: started again when it dies, ended with this process. One that a killed controller left behind is
 * ended first.
 * @throws FarmError DATA_DIR_IN_USE, NATS_SERVER_FAILED, BAD_SETTINGS
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { dir, binary, log, onRestart, leash } = options;
  const lock = await lockDir(dir);
  const settings = { ...options, syncAlways: options.syncAlways === true && versionAtLeast(binary.version, '2.10.0') };
  const stopping = new AbortController();
  const launch = async (files: NatsFiles) => {
    const { agents } = natsPaths(dir);
    const before = await textOf(agents);
    const started = await launchNats({ binary: binary.path, files, log, ...(leash ? { leash } : {}) });
    // Who rewrote the file in this moment found no server to tell.
    if ((await textOf(agents)) !== before)
      await reloadServer(files).catch((error) => log.error({ detail: messageOf(error) }, 'the agents were not read again'));
    return started;
  };
  let server: ServerProcess | undefined;
  let files: NatsFiles;
  let url: string;
  try {
    files = await writeNatsFiles(dir, settings);
    const orphan = await endOrphan(files);
    if (orphan !== undefined) log.warn({ pid: orphan }, 'ended a nats-server that a killed controller had left behind');
    server = await launch(files);
    url = server.url;
    // From now on it has this port, also when the controller is started again.
    if (files.port === -1) files = await writeNatsFiles(dir, { ...settings, port: Number(new URL(url).port) });
  } catch (error) {
    server?.kill('SIGKILL');
    await lock.release();
    throw error;
  }

  const keepRunning = async () => {
    let wait = firstWaitMs;
    for (;;) {
      const since = performance.now();
      const how = await server?.ended;
      server = undefined;
      if (performance.now() - since > steadyMs) wait = firstWaitMs;
      while (!server) {
        if (stopping.signal.aborted) return;
        log.error({ how, waitMs: wait }, 'nats-server has ended; starting it again');
        await sleep(wait, undefined, { signal: stopping.signal }).catch(() => {});
        if (stopping.signal.aborted) return;
        wait = Math.min(2 * wait, longestWaitMs);
        try {
          server = await launch(files);
        } catch (error) {
          log.error({ detail: messageOf(error) }, 'nats-server did not start');
        }
      }
      if (stopping.signal.aborted) await end(server);
      else {
        log.info({ pid: server.pid }, 'nats-server runs again');
        onRestart?.();
      }
    }
  };
  const kept = keepRunning();

  const stop = async () => {
    stopping.abort();
    if (server) await end(server);
    await kept;
    await lock.release();
  };
  return { url, files, pid: () => server?.pid, stop, [Symbol.asyncDispose]: stop };
}

async function end(server: ServerProcess): Promise<void> {
  let gone = false;
  void server.ended.then(() => {
    gone = true;
  });
  await endServer(server.pid, () => gone);
}

#!/usr/bin/env node
import pino from 'pino';
import { isFarmError, messageOf } from '../protocol/errors.ts';
import { secretFields } from '../protocol/secret-fields.ts';
import { startAgent, watchDirIn } from './agent.ts';
import { readConfig } from './config.ts';
import { inUseExitCode, lockDataDir } from './lock.ts';
import { remember } from './remember.ts';
import { startWatchdog } from './watchdog.ts';
import { openStorage } from './workspace/open-storage.ts';

// Steps of another user read some of what this program writes. What is its alone is written with a mode of its own.
process.umask(0o022);

try {
  const { settings, executor, logLevel, shared, options } = await readConfig(process.argv.slice(2));
  lockDataDir(settings.dataDir);
  const storage = shared === undefined ? undefined : await openStorage(shared, settings.dataDir);
  const log = pino(
    { level: logLevel, base: { agent: settings.name }, redact: [...secretFields] },
    pino.destination({ dest: 2, sync: true }),
  );
  if (executor.kind === 'process') log.warn('steps run as processes of this machine, without a container: trusted jobs only');
  const stopping = new AbortController();
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        process.on(signal, () => process.exit(130));
        stopping.abort();
        resolve(signal);
      });
  });
  const watchdog = startWatchdog(watchDirIn(settings.dataDir), settings.times.leaseMs, process.env);
  const agent = await startAgent(
    { ...settings, sharedDir: storage?.dir },
    {
      log,
      executor,
      fetch,
      wallMs: () => Date.now(),
      failed: (error) => {
        log.fatal({ err: error }, 'this agent cannot go on');
        process.exit(1);
      },
      signal: stopping.signal,
      joined: ({ token }) => remember(settings.dataDir, { name: settings.name, options, token }),
    },
  ).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
    log.info('stopped before it had joined');
    return undefined;
  });
  if (agent) {
    log.info({ signal: await stopped }, 'draining');
    await agent.drain();
  }
  watchdog.stop();
  await storage?.close();
} catch (error) {
  process.stderr.write(`thresh-agent: ${messageOf(error)}\n`);
  process.exitCode = isFarmError(error, 'DATA_DIR_IN_USE') ? inUseExitCode : 1;
}

import type { JobConfig } from '../protocol/job.ts';
import { describeProblem } from './jobs/describe.ts';
import type { Loaded } from './jobs/load.ts';
import { watchJobs } from './jobs/watch.ts';
import type { Replica } from './replica.ts';
import type { JobsLoad } from './schedule/lead.ts';

export type JobsInForce = {
  /** The newest configuration that is good: the directory's, or the one in force while the directory's is not. Never rejects. */
  load: () => Promise<JobsLoad>;
  /** Reads the directory again, changed or not. */
  reload: () => Promise<void>;
  /** Resolves when the watch has ended, after `signal`. */
  ended: Promise<void>;
};

/** Watches the job directory; good configurations are kept in object storage, so that one outlives a directory that turned bad. */
export function jobsInForce(
  { objects, confirmed, log }: Pick<Replica, 'objects' | 'confirmed' | 'log'>,
  dir: string,
  changed: () => void,
  signal: AbortSignal,
): JobsInForce {
  let good: JobConfig | undefined;
  let loaded: Loaded | undefined;
  const watching = watchJobs(
    dir,
    (next) => {
      loaded = next;
      changed();
    },
    { signal },
  );
  const keep = async (config: JobConfig) => {
    good = config;
    await objects.put(keyOf(config.hash), Buffer.from(JSON.stringify(config)));
  };
  const lastGood = async (hash: string) => {
    const kept = await objects.get(keyOf(hash));
    return kept && (JSON.parse(kept.toString('utf8')) as JobConfig);
  };
  return {
    reload: () => watching.reloadNow(),
    ended: watching.ended,
    load: async () => {
      if (!loaded) await watching.reloadNow();
      const { hash } = confirmed.farm.config;
      try {
        if (loaded?.config && loaded.config !== good) await keep(loaded.config);
        if (!good && hash !== null) good = await lastGood(hash);
      } catch (error) {
        log.error({ err: error }, 'object storage does not take or give the job configuration');
      }
      return { ...(good ? { config: good } : {}), problems: (loaded?.problems ?? []).map(describeProblem) };
    },
  };
}

const keyOf = (hash: string): string => `config/${hash}`;

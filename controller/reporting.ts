import packageJson from '../package.json' with { type: 'json' };
import type { ControllerDeps, ControllerSettings } from './controller.ts';
import { type GitHub, github } from './github/client.ts';
import type { Replica } from './replica.ts';
import { doubts } from './report/doubts.ts';
import { defaultReportTimes, Reporter } from './report/reporter.ts';
import type { Lead } from './schedule/lead.ts';

export type Reporting = {
  /** The controller's one client; absent without credentials. */
  github?: GitHub;
  /** The reporter of a term; undefined without credentials. */
  forTerm: (lead: () => Pick<Lead, 'proven' | 'isProven' | 'reported'>) => Reporter | undefined;
  stop: () => void;
};

/** Makes what tells GitHub of runs, or says that nothing does. */
export function reporting(replica: Replica, settings: ControllerSettings, deps: ControllerDeps): Reporting {
  const { confirmed, nc } = replica;
  const { now, wallMs } = deps;
  const log = replica.log.child({ part: 'report' });
  if (!settings.github) {
    log.warn(
      {},
      'reports to GitHub are off: this controller has no credentials (--github-token-file, or --github-app-id and its key)',
    );
    return { forTerm: () => undefined, stop: () => {} };
  }
  const userAgent = `thresh/${packageJson.version} (controller ${settings.id})`;
  const client = github(settings.github, { log, now, wallMs, fetch, userAgent });
  let current: Reporter | undefined;
  const doubted = doubts(nc, () => {
    const reporter = current?.stopped ? undefined : current;
    return (
      reporter &&
      ((run) => void reporter.doubted(run).catch((error) => log.warn({ err: error, run }, 'a doubt was not looked into')))
    );
  });
  return {
    github: client,
    forTerm: (lead) => {
      const reporter = new Reporter({
        github: client,
        // What is shown is confirmed, and a confirmed leader record of this term holds this controller's own address.
        publicUrl: () => settings.publicUrl ?? confirmed.farm.leaderUrl,
        proven: () => lead().proven(),
        isProven: () => lead().isProven(),
        findRun: async (id) => confirmed.farm.runs.get(id) ?? (await replica.archivedRun(id)),
        settled: (run) => lead().reported(run),
        doubt: doubted.tell,
        times: defaultReportTimes,
        log,
        wallMs,
        now,
      });
      current = reporter;
      return reporter;
    },
    stop: () => {
      doubted.stop();
      client.stop();
    },
  };
}

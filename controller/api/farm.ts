import type { FastifyPluginCallback } from 'fastify';
import type { FarmSummary } from '../../protocol/api.ts';
import { hasEnded } from '../../protocol/run.ts';
import type { ApiDeps } from './deps.ts';

export const farm: FastifyPluginCallback<Pick<ApiDeps, 'farm' | 'id' | 'leads' | 'leaderless' | 'checks'>> = (
  app,
  deps,
  done,
) => {
  app.get('/farm', async (): Promise<FarmSummary> => {
    const { leader: id, leaderUrl: url, term, config, runs, seq } = deps.farm();
    let openRuns = 0;
    for (const run of runs.values()) if (!hasEnded(run)) openRuns += 1;
    return {
      leader: { id, url, term },
      config,
      openRuns,
      ...(deps.leaderless() && { leaderless: true }),
      replica: { id: deps.id, seq, leads: deps.leads() },
    };
  });
  app.get('/checks', async () => ({ checks: deps.checks?.() ?? [] }));
  done();
};

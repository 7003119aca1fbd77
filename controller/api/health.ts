import type { FastifyPluginCallback } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import type { ApiDeps } from './deps.ts';

/**
 * healthz: the process lives. readyz: its state is caught up and NATS is there, so it may be asked things. When only intake is closed it is
 * ready all the same: agents must get rid of their logs, and people must see why.
 */
export const health: FastifyPluginCallback<Pick<ApiDeps, 'ready' | 'intakeProblem'>> = (app, { ready, intakeProblem }, done) => {
  app.get('/healthz', async () => ({ ok: true }));
  app.get('/readyz', async () => {
    const state = ready();
    if (!state.ok) throw new FarmError('UNAVAILABLE', { detail: `not ready: ${state.why}`, afterS: 2 });
    const why = intakeProblem?.();
    return { ok: true, intake: why === undefined ? { ok: true } : { ok: false, why } };
  });
  done();
};

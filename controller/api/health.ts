import type { FastifyPluginCallback } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import type { ApiDeps } from './deps.ts';

/** healthz: the process lives. readyz: its state is caught up and NATS is there, so it may be asked things. */
export const health: FastifyPluginCallback<Pick<ApiDeps, 'ready'>> = (app, { ready }, done) => {
  app.get('/healthz', async () => ({ ok: true }));
  app.get('/readyz', async () => {
    const state = ready();
    if (!state.ok) throw new FarmError('UNAVAILABLE', { detail: `not ready: ${state.why}`, afterS: 2 });
    return { ok: true };
  });
  done();
};

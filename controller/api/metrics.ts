import type { FastifyPluginCallback } from 'fastify';
import type { ApiDeps } from './deps.ts';

/** `GET /metrics`: what a Prometheus server asks for every few seconds, with the metrics' own token or the admin's. */
export const metrics: FastifyPluginCallback<Pick<ApiDeps, 'metrics'>> = (app, { metrics: measured }, done) => {
  if (measured)
    app.get('/metrics', { config: { token: 'metrics' } }, async (_, reply) =>
      reply.type(measured.contentType).send(await measured.text()),
    );
  done();
};

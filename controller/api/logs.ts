import type { Readable } from 'node:stream';
import type { FastifyPluginCallback } from 'fastify';
import { type Static, Type } from 'typebox';
import { FarmError } from '../../protocol/errors.ts';
import type { ApiDeps, LogQuery } from './deps.ts';
import { runId, token } from './schemas.ts';

const Params = Type.Object({ run: runId, step: token });
const Query = Type.Object(
  {
    attempt: Type.Optional(Type.Integer({ minimum: 1 })),
    offset: Type.Optional(Type.Integer({ minimum: 0 })),
    follow: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
type Route = { Params: Static<typeof Params>; Querystring: Static<typeof Query> };

export const logs: FastifyPluginCallback<Pick<ApiDeps, 'logs'>> = (app, { logs: { ingest, view, read } }, done) => {
  /** What is being sent: a stop must not wait for a reader that follows a log. */
  const sending = new Set<Readable>();
  app.addHook('preClose', async () => {
    for (const stream of sending) stream.destroy();
  });

  const queryOf = ({ params, query }: { params: Route['Params']; query: Route['Querystring'] }): LogQuery => ({
    offset: 0,
    follow: false,
    ...query,
    run: params.run,
    step: params.step,
  });

  app.route<Route>({
    method: 'GET',
    url: '/runs/:run/steps/:step/log',
    schema: { params: Params, querystring: Query },
    handler: async (request, reply) => {
      const stream = await read(queryOf(request));
      sending.add(stream);
      stream.once('close', () => sending.delete(stream));
      return reply.type('text/plain; charset=utf-8').send(stream);
    },
    wsHandler: (socket, request) => view(socket, queryOf(request)),
  });

  app.route<{ Params: { agent: string } }>({
    method: 'GET',
    url: '/agents/:agent/logs',
    config: { token: 'agent' },
    schema: { params: Type.Object({ agent: token }) },
    handler: async () => {
      throw new FarmError('BAD_REQUEST', { detail: 'logs come over a WebSocket; connect with one' });
    },
    wsHandler: (socket, { params }) => ingest(socket, params.agent),
  });
  done();
};

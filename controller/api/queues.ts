import type { FastifyPluginCallback } from 'fastify';
import { type Static, Type } from 'typebox';
import { QueueRequest } from '../../protocol/api.ts';
import { answerVerdict } from './answer.ts';
import { personOf } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { queueSummaries } from './queue-summary.ts';
import { token } from './schemas.ts';

const Params = Type.Object({ queue: token });

export const queues: FastifyPluginCallback<Pick<ApiDeps, 'ask' | 'farm'>> = (app, { ask, farm }, done) => {
  app.get('/queues', async () => ({ queues: queueSummaries(farm()) }));

  app.post<{ Params: Static<typeof Params>; Body: Static<typeof QueueRequest> }>(
    '/queues/:queue',
    { schema: { params: Params, body: QueueRequest } },
    async (request, reply) =>
      answerVerdict(await ask({ kind: 'queue', queue: request.params.queue, ...request.body }, personOf(request)), reply),
  );
  done();
};

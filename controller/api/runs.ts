import type { FastifyPluginCallback } from 'fastify';
import { type Static, Type } from 'typebox';
import { CancelRequest, type RunQuery, RunRequest } from '../../protocol/api.ts';
import { FarmError } from '../../protocol/errors.ts';
import { later } from '../../protocol/farm.ts';
import { answerVerdict } from './answer.ts';
import { personOf } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { waitingOf } from './queue-summary.ts';
import { pageOf } from './run-list.ts';
import { defaultLimit, limit, runId } from './schemas.ts';

const states = ['open', 'queued', 'running', 'stopping', 'passed', 'failed', 'errored', 'cancelled'] as const;
const Query = Type.Object(
  {
    state: Type.Optional(Type.Union(states.map((s) => Type.Literal(s)))),
    job: Type.Optional(Type.String({ maxLength: 255 })),
    repo: Type.Optional(Type.String({ maxLength: 512 })),
    pull: Type.Optional(Type.Integer({ minimum: 1 })),
    before: Type.Optional(runId),
    limit,
  },
  { additionalProperties: false },
);
const Params = Type.Object({ run: runId });
type Params = { Params: Static<typeof Params> };

export const runs: FastifyPluginCallback<Pick<ApiDeps, 'ask' | 'farm' | 'index'>> = (app, { ask, farm, index }, done) => {
  app.post<{ Body: RunRequest }>('/runs', { schema: { body: RunRequest } }, async (request, reply) =>
    answerVerdict(await ask({ kind: 'run', ...request.body }, personOf(request)), reply),
  );

  app.get<{ Querystring: Partial<RunQuery> }>('/runs', { schema: { querystring: Query } }, async (request) => {
    const query: RunQuery = { limit: defaultLimit, ...request.query };
    const indexed = await index.runs({ ...query, limit: query.limit + 1 });
    return pageOf(farm(), indexed, query);
  });

  const find = async (id: string) => farm().runs.get(id) ?? (await index.run(id));
  const noRun = (id: string) => new FarmError('NOT_FOUND', { what: `run ${id}` });

  app.get<Params>('/runs/:run', { schema: { params: Params } }, async ({ params }) => {
    const run = await find(params.run);
    if (!run) throw noRun(params.run);
    return run;
  });

  app.get<Params>('/runs/:run/waiting', { schema: { params: Params } }, async ({ params }) => {
    const run = await find(params.run);
    if (!run) throw noRun(params.run);
    return { waiting: waitingOf(run, farm()) };
  });

  /** A run that is newer than all that this replica has heard of may exist: the leader will say. */
  const demand = async (id: string) => {
    if (!later(id, farm().lastRunId) && !(await find(id))) throw noRun(id);
  };

  app.post<Params & { Body: Static<typeof CancelRequest> }>(
    '/runs/:run/cancel',
    {
      schema: { params: Params, body: CancelRequest },
      preValidation: async (request) => {
        request.body ??= {};
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      await demand(params.run);
      const { force = false, ...rest } = body;
      return answerVerdict(await ask({ kind: 'cancel', run: params.run, force, ...rest }, personOf(request)), reply);
    },
  );

  app.post<Params>('/runs/:run/retry', { schema: { params: Params } }, async (request, reply) => {
    await demand(request.params.run);
    return answerVerdict(await ask({ kind: 'retry', run: request.params.run }, personOf(request)), reply);
  });
  done();
};

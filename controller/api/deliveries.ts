import type { FastifyPluginCallback } from 'fastify';
import { type Static, Type } from 'typebox';
import { DeliverySource } from '../../protocol/delivery.ts';
import { FarmError } from '../../protocol/errors.ts';
import type { ApiDeps } from './deps.ts';
import { defaultLimit, limit, token } from './schemas.ts';

const Query = Type.Object(
  { before: Type.Optional(Type.String({ pattern: '^[a-z]{1,16}/[A-Za-z0-9_-]{1,64}$' })), limit },
  { additionalProperties: false },
);
const Params = Type.Object({ source: DeliverySource, id: token });

export const deliveries: FastifyPluginCallback<Pick<ApiDeps, 'index'>> = (app, { index }, done) => {
  app.get<{ Querystring: Static<typeof Query> }>('/deliveries', { schema: { querystring: Query } }, async ({ query }) => ({
    deliveries: await index.deliveries({ limit: defaultLimit, ...query }),
  }));

  app.get<{ Params: Static<typeof Params> }>('/deliveries/:source/:id', { schema: { params: Params } }, async ({ params }) => {
    const delivery = await index.delivery(params.source, params.id);
    if (!delivery) throw new FarmError('NOT_FOUND', { what: `decision about delivery ${params.source}/${params.id} (yet)` });
    return delivery;
  });
  done();
};

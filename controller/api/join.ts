import type { FastifyPluginCallback } from 'fastify';
import { FarmError } from '../../protocol/errors.ts';
import { type JoinAnswer, type JoinGrant, JoinRequest, protocolRange } from '../../protocol/join.ts';
import type { ApiDeps } from './deps.ts';
import { nameOf } from './hosts.ts';

type JoinDeps = Pick<ApiDeps, 'ask' | 'keys' | 'natsUrlForAgents' | 'ensureInbox'>;

/** An agent asks to be one of the farm's. It may ask again, with the same keys, whenever it does not know what became of it. */
export const join: FastifyPluginCallback<JoinDeps> = (app, { ask, keys, natsUrlForAgents, ensureInbox }, done) => {
  app.post<{ Body: JoinRequest }>(
    '/agents/join',
    { config: { token: 'join' }, schema: { body: JoinRequest } },
    async (request): Promise<JoinAnswer> => {
      const { body, principal } = request;
      if (principal?.kind !== 'join') throw new FarmError('FORBIDDEN', { what: 'joining needs a join token' });
      const { again } = principal;
      if (again && (again.name !== body.name || again.publicKey !== body.publicKey))
        throw new FarmError('FORBIDDEN', { what: `the token is that of agent '${again.name}' with the key that it had` });
      checkProtocol(body.protocol);
      const queues = allowedQueues(body.queues, principal.grant);
      const nats = natsUrlForAgents(nameOf(request.headers.host ?? ''));
      const { name: agent, publicKey, curveKey, executor, shared, host, version, protocol } = body;
      const { trust } = principal.grant;
      const { verdict } = await ask(
        {
          kind: 'join',
          agent,
          publicKey,
          curveKey,
          queues,
          trust,
          executor,
          ...(shared === undefined ? {} : { shared }),
          host,
          version,
          protocol,
        },
        { source: 'agent', by: agent },
      );
      if (!verdict)
        throw new FarmError('UNAVAILABLE', { detail: 'the request to join is stored and not decided yet', afterS: 2 });
      if (verdict.decision === 'refused') throw new FarmError('REFUSED', { why: verdict.reason });
      await ensureInbox(agent);
      return { agent, nats, token: keys.agentToken(agent), queues, trust };
    },
  );
  done();
};

function checkProtocol({ min, max }: JoinRequest['protocol']): void {
  const ours = protocolRange;
  if (max >= ours.min && min <= ours.max) return;
  const detail = `this agent speaks the protocol's levels ${min} to ${max}, this farm ${ours.min} to ${ours.max}; install a version that fits`;
  throw new FarmError('BAD_REQUEST', { detail });
}

/** What the agent wants and the token allows, each once. */
function allowedQueues(wanted: readonly string[] | undefined, grant: JoinGrant): string[] {
  const queues = [...new Set(wanted ?? grant.queues)].filter((queue) => grant.queues.includes(queue));
  if (queues.length > 0) return queues;
  const detail = `the join token allows only ${grant.queues.join(', ')}, and none of these queues was asked for`;
  throw new FarmError('BAD_REQUEST', { detail });
}

import type { FastifyPluginCallback } from 'fastify';
import { type Static, Type } from 'typebox';
import { AgentRequest, type AgentSummary, TokenRequest } from '../../protocol/api.ts';
import { FarmError } from '../../protocol/errors.ts';
import type { Farm } from '../../protocol/farm.ts';
import { openAttempts } from '../../protocol/run.ts';
import { answerVerdict } from './answer.ts';
import { personOf } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { token } from './schemas.ts';

const Params = Type.Object({ agent: token });
const defaultTokenTtlMs = 24 * 3_600_000;

export const agents: FastifyPluginCallback<Pick<ApiDeps, 'ask' | 'farm' | 'keys' | 'wallMs'>> = (app, deps, done) => {
  const { ask, farm, keys, wallMs } = deps;
  app.get('/agents', async () => ({ agents: agentSummaries(farm()) }));

  app.post<{ Body: TokenRequest }>('/agents/tokens', { schema: { body: TokenRequest } }, async ({ body }) => {
    const expiresAtMs = wallMs() + (body.ttlMs ?? defaultTokenTtlMs);
    return { token: keys.joinToken({ queues: body.queues, trust: body.trust, expiresAtMs }), expiresAtMs };
  });

  app.post<{ Params: Static<typeof Params>; Body: Static<typeof AgentRequest> }>(
    '/agents/:agent',
    { schema: { params: Params, body: AgentRequest } },
    async (request, reply) => {
      const { agent } = request.params;
      if (!farm().agents.has(agent)) throw new FarmError('NOT_FOUND', { what: `agent '${agent}'` });
      return answerVerdict(await ask({ kind: 'agent', agent, ...request.body }, personOf(request)), reply);
    },
  );
  done();
};

/** Every agent by name, with what it has in hand. */
export function agentSummaries(farm: Farm): AgentSummary[] {
  const running = new Map<string, AgentSummary['running']>();
  for (const run of farm.runs.values())
    for (const { step, attempt } of openAttempts(run)) {
      const held = running.get(attempt.agent) ?? [];
      held.push({ run: run.id, step, attempt: attempt.attempt, sinceMs: attempt.startedAtMs ?? attempt.assignedAtMs });
      running.set(attempt.agent, held);
    }
  return [...farm.agents.values()]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ publicKey: _, curveKey: __, ...agent }) => ({ ...agent, running: running.get(agent.id) ?? [] }));
}

import type { FastifyReply } from 'fastify';
import type { VerdictAnswer } from '../../protocol/api.ts';
import { FarmError } from '../../protocol/errors.ts';

/**
 * Sets the status of a request that was stored: 201 when it created runs, 200 when it was carried out, 202 while nothing is decided.
 * @throws FarmError REFUSED
 */
export function answerVerdict(answer: VerdictAnswer, reply: FastifyReply): VerdictAnswer {
  if (answer.verdict?.decision === 'refused') throw new FarmError('REFUSED', { why: answer.verdict.reason });
  if (!answer.verdict) reply.header('location', `/api/deliveries/${answer.delivery}`);
  reply.code(!answer.verdict ? 202 : answer.runs.length > 0 ? 201 : 200);
  return answer;
}

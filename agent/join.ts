import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Value } from 'typebox/value';
import { ApiError } from '../protocol/api.ts';
import { FarmError, messageOf } from '../protocol/errors.ts';
import { againHeader, JoinAnswer, type JoinRequest } from '../protocol/join.ts';

export type JoinDeps = {
  fetch: typeof fetch;
  /** Controllers, tried in turn. */
  urls: string[];
  /** A secret. Empty: `agentToken` it is. */
  joinToken: string;
  /** What it got when it joined before: with that it is taken in again, as it was, when the join token is over. A secret. */
  agentToken?: string;
  request: JoinRequest;
  log: Logger;
  signal: AbortSignal;
};

const retryMs = { first: 250, most: 10_000 };

/**
 * Asks the farm to take this agent in; tries until a controller answers.
 * @throws FarmError JOIN_REFUSED when one says no: trying again would not help
 */
export async function join({ fetch, urls, joinToken, agentToken, request, log, signal }: JoinDeps): Promise<JoinAnswer> {
  let again = joinToken === '' && agentToken !== undefined;
  for (let waitMs = retryMs.first, i = 0; ; waitMs = Math.min(waitMs * 2, retryMs.most), i += 1) {
    signal.throwIfAborted();
    const url = new URL('/api/agents/join', urls[i % urls.length]);
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${again ? agentToken : joinToken}`,
          ...(again ? { [againHeader]: request.name } : {}),
        },
        body: JSON.stringify(request),
        signal: AbortSignal.any([signal, AbortSignal.timeout(20_000)]),
      });
      const body: unknown = await response.json();
      if (response.status === 200 && Value.Check(JoinAnswer, body)) return body;
      const detail = Value.Check(ApiError, body) ? body.error.message : `answer ${response.status}`;
      if (response.status === 401 && !again && agentToken !== undefined) {
        again = true;
        continue;
      }
      if (response.status >= 400 && response.status < 500 && response.status !== 429)
        throw new FarmError('JOIN_REFUSED', { url: url.origin, status: response.status, detail });
      log.warn({ url: url.origin, status: response.status, detail }, 'joining failed; trying again');
    } catch (error) {
      if (error instanceof FarmError || signal.aborted) throw error;
      log.warn({ url: url.origin, reason: messageOf(error) }, 'no controller answers; trying again');
    }
    await sleep(waitMs, undefined, { signal });
  }
}

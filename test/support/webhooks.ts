import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import type { WebhookDefinition } from '@octokit/webhooks-examples';
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';

const examples: WebhookDefinition[] = createRequire(import.meta.url)('@octokit/webhooks-examples');

export type Hook = { body: Buffer; headers: Record<string, string> };

export const sign = (body: Uint8Array, secret: string): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

/** A webhook as GitHub sends it. */
export function hookOf(event: string, payload: object, { secret, delivery }: { secret: string; delivery: string }): Hook {
  const body = Buffer.from(JSON.stringify(payload));
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'x-github-event': event,
      'x-github-delivery': delivery,
      'x-hub-signature-256': sign(body, secret),
    },
  };
}

/** Payloads that GitHub really sent, by event. */
export const recorded: { event: string; payload: object }[] = examples.flatMap(({ name, examples: payloads }) =>
  payloads.map((payload) => ({ event: name, payload })),
);

export const send = (app: FastifyInstance, { body, headers }: Hook): Promise<LightMyRequestResponse> =>
  app.inject({ method: 'POST', url: '/hook', payload: body, headers });

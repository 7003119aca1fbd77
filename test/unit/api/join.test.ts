import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VerdictAnswer } from '../../../protocol/api.ts';
import type { Request } from '../../../protocol/delivery.ts';
import { testApi, verdictOf } from '../../support/api.ts';

const publicKey = `U${'A'.repeat(55)}`;
const curveKey = `X${'B'.repeat(55)}`;
const body = {
  name: 'node-1',
  publicKey,
  curveKey,
  executor: 'process',
  host: 'n1',
  version: '0.1.0',
  protocol: { min: 1, max: 1 },
};

/** Joins with a token for the queues gpu and arm64. */
async function joining({ payload = {}, answer }: { payload?: object; answer?: (r: Request) => VerdictAnswer } = {}) {
  const inboxes: string[] = [];
  const api = testApi({ ensureInbox: async (agent) => void inboxes.push(agent), ...(answer && { answer }) });
  const token = api.deps.keys.joinToken({ queues: ['gpu', 'arm64'], trust: 'any', expiresAtMs: Date.now() + 60_000 });
  const response = await api.app.inject({
    method: 'POST',
    url: '/api/agents/join',
    payload: { ...body, ...payload },
    headers: { authorization: `Bearer ${token}`, host: 'localhost:8080' },
  });
  await api.app.close();
  return { ...api, response, inboxes };
}

test('an agent that joins gets its address, its token and what the join token allows', async () => {
  const { response, asked, inboxes, deps } = await joining();
  assert.equal(response.statusCode, 200);
  assert.deepEqual(response.json(), {
    agent: 'node-1',
    nats: 'nats://localhost:4222',
    token: deps.keys.agentToken('node-1'),
    queues: ['gpu', 'arm64'],
    trust: 'any',
  });
  const { name: agent, ...rest } = body;
  assert.deepEqual(asked, [
    { request: { kind: 'join', agent, ...rest, queues: ['gpu', 'arm64'], trust: 'any' }, source: 'agent', by: 'node-1' },
  ]);
  assert.deepEqual(inboxes, ['node-1']);
});

test('it serves only such queues as it wants and the token allows', async () => {
  const { asked } = await joining({ payload: { queues: ['gpu', 'release', 'gpu'] } });
  assert.deepEqual(asked[0]?.request.kind === 'join' && asked[0].request.queues, ['gpu']);
});

test('none of its queues allowed: 400, and nothing is asked', async () => {
  const { response, asked } = await joining({ payload: { queues: ['release'] } });
  assert.equal(response.statusCode, 400);
  assert.match(response.json().error.message, /allows only gpu, arm64/);
  assert.deepEqual(asked, []);
});

test('it cannot choose its trust', async () => {
  const { asked } = await joining({ payload: { trust: 'trusted' } });
  assert.equal(asked[0]?.request.kind === 'join' && asked[0].request.trust, 'any');
});

test('it speaks another protocol: 400 says which', async () => {
  const { response, asked } = await joining({ payload: { protocol: { min: 8, max: 9 } } });
  assert.equal(response.statusCode, 400);
  assert.match(response.json().error.message, /levels 8 to 9, this farm 1 to 1/);
  assert.deepEqual(asked, []);
});

test('a refusal is 409 with the reason, and no inbox is made', async () => {
  const verdict = verdictOf({ decision: 'refused', reason: 'node-1 has another key' });
  const { response, inboxes } = await joining({ answer: () => ({ delivery: 'agent/1', verdict, runs: [] }) });
  assert.equal(response.statusCode, 409);
  assert.match(response.json().error.message, /another key/);
  assert.deepEqual(inboxes, []);
});

test('not decided in time: 503, and the agent comes back', async () => {
  const { response, inboxes } = await joining({ answer: () => ({ delivery: 'agent/1', runs: [] }) });
  assert.equal(response.statusCode, 503);
  assert.equal(response.headers['retry-after'], '2');
  assert.deepEqual(inboxes, []);
});

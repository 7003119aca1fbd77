import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RequestOf } from '../../../protocol/delivery.ts';
import type { Agent } from '../../../protocol/record.ts';
import { agentOf, farmWith, nowMs } from './given.ts';

const [keyA, keyB] = [`U${'A'.repeat(55)}`, `U${'B'.repeat(55)}`] as const;
const join = (over: Partial<RequestOf<'join'>> = {}): RequestOf<'join'> => ({
  kind: 'join',
  agent: 'a1',
  publicKey: keyA,
  curveKey: `X${'C'.repeat(55)}`,
  queues: ['default', 'gpu'],
  trust: 'any',
  executor: 'docker',
  host: 'node-7',
  version: '0.2.0',
  protocol: { min: 1, max: 3 },
  ...over,
});
const farmWithAgents = (...agents: Agent[]) => {
  const world = farmWith();
  for (const agent of agents) world.farm.agents.set(agent.id, agent);
  return world;
};

describe('join', () => {
  test('a new agent is known with all that it said', () => {
    const world = farmWithAgents();
    const verdict = world.ask(join());
    assert.deepEqual([verdict.decision, verdict.reason], ['done', "agent 'a1' joined"]);
    assert.deepEqual(world.farm.agents.get('a1'), {
      id: 'a1',
      publicKey: keyA,
      curveKey: `X${'C'.repeat(55)}`,
      queues: ['default', 'gpu'],
      trust: 'any',
      executor: 'docker',
      host: 'node-7',
      version: '0.2.0',
      joinedAtMs: nowMs,
      state: 'serving',
    });
  });

  test('with the same key again, it is brought up to date and heard again', () => {
    const world = farmWithAgents(agentOf('a1', { silentSinceMs: 5 }));
    const verdict = world.ask(join());
    assert.equal(verdict.reason, "agent 'a1' joined again");
    const agent = world.farm.agents.get('a1');
    assert.deepEqual([agent?.host, agent?.queues, agent?.silentSinceMs], ['node-7', ['default', 'gpu'], undefined]);
  });

  for (const state of ['cordoned', 'draining'] as const) {
    test(`joining again does not lift that it is ${state}`, () => {
      const world = farmWithAgents(agentOf('a1', { state, stateBy: 'ann' }));
      world.ask(join());
      assert.deepEqual([world.farm.agents.get('a1')?.state, world.farm.agents.get('a1')?.stateBy], [state, 'ann']);
    });
  }

  test('the name of a revoked agent may be taken with a new key, which starts afresh', () => {
    const world = farmWithAgents(agentOf('a1', { state: 'revoked', stateBy: 'ann' }));
    assert.equal(world.ask(join({ publicKey: keyB })).decision, 'done');
    const agent = world.farm.agents.get('a1');
    assert.deepEqual([agent?.publicKey, agent?.state, agent?.stateBy], [keyB, 'serving', undefined]);
  });

  const refused: [string, Agent[], Partial<RequestOf<'join'>>, RegExp][] = [
    [
      'a name that another key has',
      [agentOf('a1', { publicKey: keyB })],
      {},
      /exists with another key; choose another name, or revoke it first/,
    ],
    ['a name that another key has, cordoned', [agentOf('a1', { publicKey: keyB, state: 'cordoned' })], {}, /another key/],
    ['a revoked key', [agentOf('a1', { state: 'revoked' })], {}, /key of agent 'a1' was revoked; make a new one/],
    ['a revoked key under a new name', [agentOf('old', { state: 'revoked' })], {}, /was revoked/],
    ['the key of another agent', [agentOf('a2')], {}, /this key is that of agent 'a2'/],
    ['a protocol that is too new', [], { protocol: { min: 2, max: 3 } }, /speaks protocol 2 to 3 and this farm 1 to 1/],
    ['a protocol that is too old', [], { protocol: { min: 0, max: 0 } }, /speaks protocol 0 to 0/],
    ['a protocol range that is none', [], { protocol: { min: 3, max: 0 } }, /speaks protocol 3 to 0/],
    ['a key that is none', [], { publicKey: 'A' }, /not a request/],
    ['no queue', [], { queues: [] }, /not a request/],
  ];
  for (const [name, agents, over, why] of refused) {
    test(`${name} is refused`, () => {
      const verdict = farmWithAgents(...agents).ask(join(over));
      assert.deepEqual([verdict.decision, verdict.changes], ['refused', []]);
      assert.match(verdict.reason, why);
    });
  }
});

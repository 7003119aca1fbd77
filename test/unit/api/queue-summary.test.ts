import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queueSummaries } from '../../../controller/api/queue-summary.ts';
import { Farm } from '../../../protocol/farm.ts';
import type { Agent } from '../../../protocol/record.ts';
import { applyToRun, type NewRun, openRun, type Run, type RunEvent } from '../../../protocol/run.ts';
import { agentOf } from '../../support/api.ts';
import { newRun, stepShape } from '../../support/runs.ts';

const gpu = [stepShape('train', { queue: 'gpu' })];
const waiting = (over: Partial<NewRun> = {}): Run => openRun(newRun(gpu, over));
const after = (run: Run, ...events: RunEvent[]): Run => events.reduce(applyToRun, run);
const assigned = (agent: string): RunEvent => ({ type: 'assigned', step: 'train', attempt: 1, agent, atMs: 2_000 });

function farmOf(runs: Run[], agents: Agent[] = []): Farm {
  const farm = new Farm();
  for (const run of runs) farm.runs.set(run.id, run);
  for (const agent of agents) farm.agents.set(agent.id, agent);
  return farm;
}

const why = (runs: Run[], agents: Agent[], change: (farm: Farm) => void = () => {}): string | undefined => {
  const farm = farmOf(runs, agents);
  change(farm);
  return queueSummaries(farm).find((q) => q.queue === 'gpu')?.oldest?.why;
};
const node = (over: Partial<Agent> = {}) => agentOf('node-1', { queues: ['gpu'], ...over });

test('queues are those that agents, tasks and pauses name; what waits and what runs is counted', () => {
  const runs = [waiting({ id: '1' }), waiting({ id: '2' }), after(waiting({ id: '3' }), assigned('node-1'))];
  const farm = farmOf(runs, [
    agentOf('node-1', { queues: ['gpu', 'arm64'] }),
    agentOf('old', { queues: ['s390x'], state: 'revoked' }),
  ]);
  farm.pausedQueues.set('release', { by: 'anna', reason: 'freeze' });
  assert.deepEqual(
    queueSummaries(farm).map(({ queue, ready, running, agents }) => ({ queue, ready, running, agents })),
    [
      { queue: 'arm64', ready: 0, running: 0, agents: 1 },
      { queue: 'gpu', ready: 2, running: 1, agents: 1 },
      { queue: 'release', ready: 0, running: 0, agents: 0 },
    ],
  );
});

test('ended runs count nowhere', () => {
  assert.deepEqual(queueSummaries(farmOf([{ ...waiting(), state: 'cancelled' }])), []);
});

test('the task that has waited longest is shown, whatever its run is called', () => {
  const farm = farmOf([waiting({ id: '1', createdAtMs: 3_000 }), waiting({ id: '2', createdAtMs: 2_000 })]);
  const { run, step, sinceMs } = queueSummaries(farm)[0]?.oldest ?? {};
  assert.deepEqual({ run, step, sinceMs }, { run: '2', step: 'train', sinceMs: 2_000 });
});

test('why a task waits: nobody serves its queue', () => {
  assert.equal(why([waiting()], [agentOf('node-1')]), "no agent serves queue 'gpu'");
});

test('why a task waits: its queue is paused', () => {
  const pause = (farm: Farm) => farm.pausedQueues.set('gpu', { by: 'anna', reason: 'driver update' });
  assert.equal(why([waiting()], [node()], pause), "queue 'gpu' is paused by anna: driver update");
});

test('why a task waits: as many runs of its job as may are under way', () => {
  const busy = after(waiting({ id: '1', maxConcurrency: 1 }), assigned('node-1'));
  assert.equal(why([busy, waiting({ id: '2', maxConcurrency: 1 })], [node()]), "1 of at most 1 runs of job 'unit' are under way");
});

test('why a task waits: no agent takes code that is not trusted', () => {
  assert.match(why([waiting({ trusted: false })], [node()]) ?? '', /not trusted, and no agent of queue 'gpu' takes/);
  assert.equal(why([waiting({ trusted: false })], [node({ trust: 'any' })]), 'waits for a free slot');
});

test('why a task waits: all agents of its queue are silent or cordoned', () => {
  const agents = [node({ silentSinceMs: 5 }), agentOf('node-2', { queues: ['gpu'], state: 'cordoned' })];
  assert.equal(why([waiting()], agents), "no agent of queue 'gpu' takes work now: 'node-1' is silent, 'node-2' is cordoned");
});

test('why a task waits: the agent that has its workspace', () => {
  const homed = { ...waiting({ workspace: 'local' }), home: 'node-1' };
  assert.equal(why([homed], [node()]), "waits for a free slot on agent 'node-1', which has its workspace");
  assert.equal(why([homed], [node({ state: 'cordoned' })]), "waits for a free slot on agent 'node-1', which has its workspace");
  assert.match(why([homed], [node({ silentSinceMs: 5 })]) ?? '', /takes no work now: 'node-1' is silent/);
  assert.match(why([homed], []) ?? '', /which is gone/);
});

test('why a task waits: nothing is in the way but other work', () => {
  assert.equal(why([waiting()], [node()]), 'waits for a free slot');
});

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needDocker, TestDocker, testImage } from '../../support/docker.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';

const skip = needDocker();
const docker = skip ? undefined : await TestDocker.start();
after(() => docker?.stop());

const count = 60;
const jobs = `
manual:
- name: long
  steps:
  - name: prints
    secrets: {WORD: word}
    network: none
    script: |
      i=0
      while [ $i -lt ${count} ]; do echo "out $i $WORD"; echo "err $i" >&2; sleep 0.02; i=$((i+1)); done
      printf end
      exit 3
`;

const program = fileURLToPath(new URL('../../../agent/main.ts', import.meta.url));

/** The agent as people start it. */
async function startAgent(farm: TestFarm): Promise<ChildProcess> {
  const tokenFile = join(farm.dir, 'join.token');
  await writeFile(tokenFile, farm.joinToken());
  await mkdir(join(farm.dir, 'agent'), { recursive: true, mode: 0o711 });
  const args = ['--url', farm.url, '--token-file', tokenFile, '--name', 'd1', '--data', join(farm.dir, 'agent')];
  return spawn(
    process.execPath,
    [program, ...args, '--executor', 'docker', '--default-image', testImage, '--log-level', 'error'],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, DOCKER_HOST: `unix://${docker?.socketPath}` },
    },
  );
}

async function kill(agent: ChildProcess): Promise<void> {
  agent.kill('SIGKILL');
  await once(agent, 'exit');
}

const containers = async () => (await docker?.engine.listContainers({ all: true })) ?? [];

describe('an agent with the docker executor that is killed', { skip }, () => {
  for (const [name, whileAway] of [
    ['goes on with the step that still runs', async () => {}],
    [
      'learns how the step ended that it left',
      async (farm: TestFarm) => {
        await farm.until('the step ends', async () => (await containers()).every((c) => c.State === 'exited'));
      },
    ],
  ] as const)
    test(`${name}, and its log is whole: every byte once`, async (t) => {
      await using farm = await TestFarm.start({
        jobs: { 'jobs.yaml': jobs },
        secrets: { word: 'hush-hush' },
        times: { ...quickTimes, leaseMs: 20_000, silentMs: 10_000 },
      });
      const first = await startAgent(farm);
      t.after(() => first.kill('SIGKILL'));
      const id = await farm.run('long');
      await farm.until('it prints', async () => (await farm.logOf(id, 'prints')).includes('out 5 '));
      await kill(first);
      await whileAway(farm);
      const second = await startAgent(farm);
      t.after(() => second.kill('SIGKILL'));

      const run = await farm.ended(id);
      const attempts = run.at[0]?.attempts ?? [];
      assert.deepEqual(
        attempts.map((a) => [a.state, a.exitCode]),
        [['failed', 3]],
      );
      const log = await farm.logOf(id, 'prints');
      const lines = log.split('\n');
      const of = (stream: string) => lines.filter((line) => line.startsWith(stream));
      assert.deepEqual(
        of('out'),
        Array.from({ length: count }, (_, i) => `out ${i} ***`),
      );
      assert.deepEqual(
        of('err'),
        Array.from({ length: count }, (_, i) => `err ${i}`),
      );
      assert.equal(lines.length, 2 * count + 1);
      assert.equal(lines.at(-1), 'end');
      await farm.until('the container is removed', async () => (await containers()).length === 0);
      await kill(second);
    });
});

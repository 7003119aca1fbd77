import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Notice } from '../../../protocol/notice.ts';
import { lastAttempt, stepOf } from '../../../protocol/run.ts';
import { quickTimes } from '../../support/farm.ts';
import { ProcessFarm, runs, until } from '../../support/processes.ts';
import { readAll, readRecords } from '../../support/read-streams.ts';

/** A step that tells its process and its attempt, prints all the time, and ends once `go` is there; then it says so. */
const jobs = (dir: string) => `
manual:
- name: hold
  steps:
  - name: main
    script: |
      echo "begun by $$"
      echo $$ >> ${dir}/pids
      while [ ! -e ${dir}/go ]; do echo "still $$"; sleep 0.05; done
      echo "ended by $$"
- name: short
  steps: [{name: main, script: "echo short"}]
`;

/** What the step of the stopped agent does when the agent goes on: it is still at work, or has ended meanwhile. */
for (const meanwhile of ['is still at work', 'has ended meanwhile'] as const)
  test(`nothing of an attempt counts that was given away while its agent stood still, when the step ${meanwhile}`, async () => {
    await using farm = await ProcessFarm.start({ jobs: {}, times: quickTimes });
    const dir = join(farm.dir, 'witness');
    await mkdir(dir);
    await chmod(farm.dir, 0o711);
    await chmod(dir, 0o777);
    await farm.putJobs({ 'jobs.yaml': jobs(dir) });
    await farm.startController('c1');
    await farm.leader();
    const stale = await farm.startAgent({ name: 'a1', executor: 'process' });
    const id = await farm.run('hold');
    const attempt = async () => lastAttempt(stepOf(await farm.getRun(id), 'main'));
    const pids = async () => (await readFile(join(dir, 'pids'), 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
    await until('the step is at work', async () => (await pids()).length === 1 && (await attempt())?.state === 'running', 10_000);
    await until('its output is shown', async () => (await farm.logOf(id, 'main')).includes('still'));
    await farm.startAgent({ name: 'a2', executor: 'process' });

    await stale.stop();
    await until('the next attempt is at work', async () => (await pids()).length === 2, 10_000);
    await until('it is known to be', async () => (await attempt())?.state === 'running');
    const [first = 0, second = 0] = await pids();
    if (meanwhile === 'has ended meanwhile') {
      process.kill(first, 'SIGTERM');
      await until('the first step has ended', async () => !(await runs(first)));
    } else assert.ok(await runs(first));

    const nc = await farm.nats.connect();
    const logOfFirst = async () => (await readAll<unknown>(nc, 'LOGS', 1, `log.${id}.main.1`)).length;
    const storedBefore = await logOfFirst();
    stale.cont();
    await until('the first step is dead', async () => !(await runs(first)), 10_000);
    await farm.until('a1 holds nothing and is heard again', async () => {
      const a1 = (await farm.agentList()).find((a) => a.id === 'a1');
      return a1 && a1.silentSinceMs === undefined && a1.running.length === 0;
    });
    await writeFile(join(dir, 'go'), '');
    const run = await farm.ended(id);

    assert.equal(run.state, 'passed');
    const attempts = stepOf(run, 'main')?.attempts.map((a) => [a.attempt, a.agent, a.state]);
    assert.deepEqual(attempts, [
      [1, 'a1', 'lost'],
      [2, 'a2', 'passed'],
    ]);
    const log = await farm.logOf(id, 'main');
    assert.match(log, new RegExp(`^begun by ${second}\n(still ${second}\n)+ended by ${second}\n$`));
    assert.equal(await logOfFirst(), storedBefore, 'output of the first attempt was stored after it was lost');
    const ofFirst = (await readRecords(nc)).flatMap(({ value }) =>
      value.type === 'run' && value.run === id
        ? value.events.flatMap((e) => (e.type === 'attempt' && e.attempt === 1 ? e.event : []))
        : [],
    );
    assert.deepEqual(ofFirst, ['start', 'expire']);
    const said = await readAll<Notice>(nc, 'NOTICES', 1, `notice.a1.${id}.main.1.*`);
    if (meanwhile === 'has ended meanwhile') assert.ok(said.length <= 2);

    await farm.agents.get('a2')?.kill();
    const again = await farm.ended(await farm.run('short'));
    assert.deepEqual([again.state, lastAttempt(stepOf(again, 'main'))?.agent], ['passed', 'a1']);
    assert.equal(await farm.logOf(again.id, 'main'), 'short\n');
  });

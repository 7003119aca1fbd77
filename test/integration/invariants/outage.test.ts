import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Run, stepOf } from '../../../protocol/run.ts';
import { quickTimes } from '../../support/farm.ts';
import { type Printing, printingIn, sha256 } from '../../support/printing.ts';
import { ProcessFarm } from '../../support/processes.ts';

/**
 * An outage of 60 s with the times of real farms (`THRESH_LONG=1`), or with all of them a tenth: 6 s, of which a lease is 2 s.
 * Either way three leases go by.
 */
const long = process.env.THRESH_LONG === '1';
const outageMs = long ? 60_000 : 6_000;
const times = long ? {} : quickTimes;
const patienceMs = long ? 60_000 : 20_000;

const indented = (script: string): string => script.replaceAll(/^/gm, '      ');
const jobsOf = (printing: Printing, endsMs: number): string => `
manual:
- name: process
  queue: processes
  steps:
  - name: main
    script: |
${indented(printing.shell)}
  - {name: after, needs: [main], script: "echo went on"}
- name: scripted
  steps:
  - name: main
    script: |
${indented(printing.scripted(outageMs / 20))}
- name: ends-meanwhile
  steps:
  - {name: main, script: "print begun\\nsleep ${endsMs}\\nprint over"}
  - {name: after, needs: [main], script: "print went on"}
`;

/** Steps of both executors run and print when it resolves. */
async function busyFarm() {
  const farm = await ProcessFarm.start({ jobs: {}, times });
  try {
    const printing = await printingIn(farm.dir);
    await farm.putJobs({ 'jobs.yaml': jobsOf(printing, outageMs / 2) });
    const controller = await farm.startController('c1');
    await farm.leader();
    await farm.startAgent({ name: 'a1', executor: 'process', queues: ['processes'] });
    await farm.startAgent({ name: 'a2' });
    const ids = await Promise.all(['process', 'scripted', 'ends-meanwhile'].map((job) => farm.run(job)));
    for (const id of ids) {
      const runs = async () => stepOf(await farm.getRun(id), 'main')?.attempts[0]?.state === 'running';
      await farm.until('the step runs', runs, patienceMs);
    }
    await farm.until('both print', async () => (await printing.written('shell')) && (await printing.written('scripted')));
    const linesNow = async () => (await printing.written('shell')).split('\n').length;

    /** Waits for the end of all runs and looks whether anything was lost or done twice. */
    const nothingWasLost = async () => {
      await printing.letGo();
      const runs = await Promise.all(ids.map((id) => farm.ended(id, patienceMs)));
      const attempts = (run: Run) => run.at.map((s) => `${s.name} ${s.attempts.map((a) => `${a.round}:${a.state}`).join()}`);
      assert.deepEqual(runs.map(attempts), [
        ['main 1:passed', 'after 1:passed'],
        ['main 1:passed'],
        ['main 1:passed', 'after 1:passed'],
      ]);
      const [byProcess = '', byScript = '', meanwhile = ''] = ids;
      const shell = await printing.written('shell');
      assert.equal(sha256(await wholeLog(farm, byProcess)), sha256(shell));
      assert.ok(shell.split('\n').length > outageMs / 40, 'it printed all the time');
      assert.equal(new Set(shell.split('\n')).size, shell.split('\n').length, 'no line twice');
      assert.equal(sha256(await wholeLog(farm, byScript)), sha256(await printing.written('scripted')));
      assert.equal(await wholeLog(farm, meanwhile), 'begun\nover\n');
      assert.equal((await farm.runs()).length, ids.length);
    };
    return { farm, controller, linesNow, nothingWasLost, [Symbol.asyncDispose]: () => farm.stop() };
  } catch (error) {
    await farm.stop();
    throw error;
  }
}

/** The log of the first step, once all that its end states is there. */
const wholeLog = (farm: ProcessFarm, id: string): Promise<string> =>
  farm.until(
    'the log is whole',
    async () => {
      const total = stepOf(await farm.getRun(id), 'main')?.attempts[0]?.logBytes;
      const log = await farm.logOf(id, 'main');
      return Buffer.byteLength(log) === total && log;
    },
    patienceMs,
  );

test('a controller that stands still kills no step, loses no attempt and no byte', { timeout: 180_000 }, async () => {
  await using t = await busyFarm();
  await t.controller.stop();
  const before = await t.linesNow();
  await sleep(outageMs);
  assert.ok((await t.linesNow()) > before + outageMs / 80, 'the step goes on');
  t.controller.cont();
  await t.nothingWasLost();
});

test('a controller and NATS that die and come back kill no step, lose no attempt and no byte', { timeout: 180_000 }, async () => {
  await using t = await busyFarm();
  await Promise.all([t.controller.kill(), t.farm.nats.crash()]);
  const before = await t.linesNow();
  await sleep(outageMs);
  assert.ok((await t.linesNow()) > before + outageMs / 80, 'the step goes on');
  await t.farm.nats.restart();
  await t.farm.startController('c1');
  await t.farm.leader(patienceMs);
  await t.nothingWasLost();
});

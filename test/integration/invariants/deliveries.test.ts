import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FarmRecord } from '../../../protocol/record.ts';
import { keyOf } from '../../../protocol/task.ts';
import type { ProbeAt } from '../../support/controller-process.ts';
import { quickTimes } from '../../support/farm.ts';
import { type ControllerProcess, ProcessFarm } from '../../support/processes.ts';
import { deliver, deliverAll } from '../../support/pushes.ts';
import { lastSeqOf, readAll, readRecords, type Stored } from '../../support/read-streams.ts';

const deliveries = 2_000;

/** Two jobs whose step signs with its attempt. */
const jobsSigning = (witness: string) => `
postsubmits:
  acme/app:
  - name: one
    steps: [{name: sign, script: "append ${witness} @attempt"}]
  - name: two
    steps: [{name: sign, script: "append ${witness} @attempt"}]
`;

/** Keeps a controller up: each time that its probe has killed it, it starts again with the next. */
async function keepUp(farm: ProcessFarm, first: ControllerProcess, probes: ProbeAt[]): Promise<void> {
  let controller = first;
  for (const probe of [...probes, undefined]) {
    assert.equal(await controller.exited, 'SIGKILL');
    controller = await farm.startController('c1', probe ? { probe } : {});
  }
}

/** What each run of the pushes came to, by the records. */
function historyOf(records: Stored<FarmRecord>[]) {
  const verdicts = new Map<string, string[]>();
  const ends = new Map<string, string[]>();
  const attempts = new Map<string, string[]>();
  for (const { value } of records) {
    if (value.type === 'verdict' && value.source === 'github') {
      assert.ok(!verdicts.has(value.id), `${value.id} was decided twice`);
      verdicts.set(
        value.id,
        value.verdict.creates.map((r) => r.id),
      );
    }
    if (value.type !== 'run') continue;
    for (const e of value.events) {
      if (e.type === 'finished') ends.set(value.run, [...(ends.get(value.run) ?? []), e.state]);
      if (e.type === 'assigned' && e.step === 'sign') {
        const key = keyOf({ run: value.run, step: e.step, attempt: e.attempt });
        attempts.set(value.run, [...(attempts.get(value.run) ?? []), key]);
      }
    }
  }
  return { verdicts, ends, attempts };
}

/** All that the records say of a run, for whoever must find out what went wrong. */
const tellOf = (records: Stored<FarmRecord>[], run: string): string =>
  JSON.stringify(records.flatMap(({ seq, value }) => (value.type === 'run' && value.run === run ? [{ seq, ...value }] : [])));

test('each accepted delivery leads to its runs, once, though the controller is killed at three moments', async (t) => {
  const at0 = performance.now();
  const lap = (what: string) => t.diagnostic(`${((performance.now() - at0) / 1000).toFixed(1)} s: ${what}`);
  await using farm = await ProcessFarm.start({ jobs: {}, times: quickTimes });
  const witness = join(farm.dir, 'witness');
  await farm.putJobs({ 'jobs.yaml': jobsSigning(witness) });
  const controller = await farm.startController('c1', { probe: { point: 'delivery-stored', nth: 600 } });
  for (const name of ['a1', 'a2', 'a3']) await farm.startAgent({ name, slots: 40 });
  const up = keepUp(farm, controller, [
    { point: 'verdict-stored', nth: 500 },
    { point: 'assigned-stored', nth: 1 },
  ]);
  const sent = await deliverAll(farm, deliveries);
  lap(`${deliveries} deliveries accepted, ${sent} sent`);
  await up;
  lap('all kills are over');

  const nc = await farm.nats.connect();
  await farm.until('all runs have ended', async () => (await farm.openRuns()) === 0, 120_000);
  lap('all runs have ended');
  const records = await readRecords(nc);
  const { verdicts, ends, attempts } = historyOf(records);
  assert.equal(verdicts.size, deliveries);
  const runs = [...verdicts.values()].flat();
  for (const [id, created] of verdicts) assert.equal(created.length, 2, id);
  assert.equal(new Set(runs).size, 2 * deliveries, 'two runs have one id');
  for (const run of runs) assert.deepEqual(ends.get(run), ['passed'], `${run}: ${tellOf(records, run)}`);

  const lines = (await readFile(witness, 'utf8')).trimEnd().split('\n');
  assert.equal(new Set(lines).size, lines.length, 'an attempt ran twice');
  const given = new Set([...attempts.values()].flat());
  for (const line of lines) assert.ok(given.has(line), `${line} ran and was never given out`);
  const ran = new Set(lines);
  for (const run of runs)
    assert.ok(
      attempts.get(run)?.some((key) => ran.has(key)),
      `${run} passed and did not run`,
    );
  const extra = lines.length - runs.length;
  const again = [...attempts.values()].reduce((sum, keys) => sum + keys.length - 1, 0);
  lap(`${records.length} records; ${again} attempts beyond the first, ${extra} witness lines beyond one a run`);
  assert.ok(extra <= again);

  const before = { deliveries: await lastSeqOf(nc, 'DELIVERIES'), runs: await lastSeqOf(nc, 'RUNS') };
  for (let i = 0; i < deliveries; i += 10) assert.equal(await deliver(farm, i), 1);
  await farm.hook('ping', { zen: 'Keep it logically awesome.' }, { id: 'marker' });
  const isMarker = ({ value }: Stored<FarmRecord>) => value.type === 'verdict' && value.id === 'marker';
  const after = await farm.until('the marker is decided', async () => {
    const found = await readRecords(nc, before.runs + 1);
    return found.some(isMarker) && found;
  });
  assert.equal((await readAll(nc, 'DELIVERIES', before.deliveries + 1)).length, 1);
  const isNews = ({ value }: Stored<FarmRecord>) =>
    value.type === 'verdict' || (value.type === 'run' && value.events.some((e) => e.type !== 'archived'));
  assert.deepEqual(
    after.filter((r) => isNews(r) && !isMarker(r)),
    [],
  );
});

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Handle } from '../../../agent/executor/executor.ts';
import { processExecutor } from '../../../agent/executor/process.ts';
import { Guard, heardFile } from '../../../agent/guard.ts';
import { startWatchdog } from '../../../agent/watchdog.ts';
import type { Step } from '../../../protocol/job.ts';
import { places, run } from '../../support/executor-suite.ts';
import { runs, until } from '../../support/processes.ts';
import { stepWith } from '../../support/steps.ts';
import { aTask } from '../../support/tasks.ts';

const leaseMs = 5_000;
const skip = process.platform !== 'linux' && 'needs Linux';

/** A step that runs until it is killed, an agent's guard over it, and the watchdog. */
async function guarded(spec: Partial<Step>, marks: string[] | undefined) {
  const at = await places();
  const dir = await mkdtemp(join(tmpdir(), 'thresh-watch-'));
  const marksDir = join(dir, '.attempts');
  await mkdir(marksDir);
  for (const mark of marks ?? []) await writeFile(join(marksDir, mark), '');
  const guard = new Guard(join(dir, 'watch'));
  await writeFile(join(dir, 'watch', heardFile), String(process.hrtime.bigint() / 1_000_000n));
  const step = { script: 'echo begun; sleep 60', ...spec };
  const task = aTask({ step: 'build', attempt: 1, spec: stepWith(step) });
  let pid = 0;
  const ran = run(processExecutor(), at, step, {
    handle: (handle: Handle) => {
      if (handle.kind === 'process') pid = handle.pid;
      guard.begun(task, handle, marks && marksDir);
    },
  });
  await ran.said('begun');
  const watchdog = startWatchdog(join(dir, 'watch'), leaseMs, process.env);
  const owner = () => readFile(join(dir, 'watch', 'owner'), 'utf8').catch(() => '');
  await until('the watchdog is up', async () => (await owner()) !== '');
  return {
    task,
    guard,
    pid: () => pid,
    mark: (name: string) => writeFile(join(marksDir, name), ''),
    ended: async () => guard.ended(task, await ran.started.ended),
    [Symbol.asyncDispose]: async () => {
      const watchdogPid = Number(await owner());
      ran.started.kill();
      await ran.started.ended;
      guard.ended(task, { outcome: 'stopped' });
      watchdog.stop();
      await until('the watchdog has ended', async () => !(await runs(watchdogPid)));
      await at[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

test('a step is killed within two seconds of a newer attempt being marked, and is lost, not failed', { skip }, async () => {
  await using at = await guarded({}, ['build.1']);
  const sinceMs = performance.now();
  await at.mark('build.2');
  const end = await at.ended();
  assert.equal(end.outcome, 'lost');
  assert.match(end.message ?? '', /attempt 2/);
  assert.ok(performance.now() - sinceMs < 2_000, `${performance.now() - sinceMs} ms`);
  assert.equal(await runs(at.pid()), false);
});

test('marks of other steps, and its own, leave a step alone', { skip }, async () => {
  await using at = await guarded({ script: 'echo begun; sleep 2.5; exit 7' }, ['build.1']);
  await at.mark('test.9');
  await at.mark('build.1.over');
  assert.deepEqual(await at.ended(), { outcome: 'fail', exitCode: 7 });
});

test('a step with effects outside is dead before its lease ends, though its agent is hung', { skip }, async () => {
  await using at = await guarded({ onLeaseLoss: 'stop' }, undefined);
  const sinceMs = performance.now();
  const end = await at.ended();
  assert.equal(end.outcome, 'lost');
  assert.ok(performance.now() - sinceMs < leaseMs - 500, `${performance.now() - sinceMs} ms`);
});

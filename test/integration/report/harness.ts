import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Executor } from '../../../agent/executor/executor.ts';
import { scriptedExecutor } from '../../../agent/executor/scripted.ts';
import type { ControllerSettings } from '../../../controller/controller.ts';
import { quickTimes, TestFarm, type TestFarmOptions } from '../../support/farm.ts';
import { TestGitHub } from '../../support/github.ts';
import { pushOf } from '../../support/pushes.ts';

export const noLimits = { gapMs: 0, writesPerMinute: 0, writesPerHour: 0, pointsPerMinute: 0 };
export const publicUrl = 'https://ci.example.org';
export const shaOf = (i: number): string => pushOf(i).after;

/** Steps without a script, such as the checkout, pass: these tests have no repository. */
export const playing = (): Executor => {
  const inner = scriptedExecutor();
  return { ...inner, start: (job) => inner.start({ ...job, spec: { ...job.spec, script: job.spec.script ?? '' } }) };
};

/** Lets a farm that has not started yet report to this GitHub. */
export async function reportTo(
  farm: { settings: ControllerSettings; dir: string },
  github: TestGitHub,
  limits = noLimits,
): Promise<void> {
  const tokenFile = join(farm.dir, 'github.token');
  await writeFile(tokenFile, 'ghp_test\n');
  farm.settings.github = { api: github.api, auth: { tokenFile }, limits };
  farm.settings.publicUrl = publicUrl;
}

/** A farm in this process, with an agent, and the GitHub that it reports to. */
export async function reportingFarm(options: TestFarmOptions & { agents?: number; limits?: typeof noLimits }) {
  const github = await TestGitHub.start();
  const farm = await TestFarm.start({ times: quickTimes, ...options, controllers: 0 });
  await reportTo(farm, github, options.limits);
  for (let i = 1; i <= (options.controllers ?? 1); i += 1) await farm.addController(`c${i}`);
  for (let i = 1; i <= (options.agents ?? 1); i += 1) await farm.addAgent({ name: `a${i}`, executor: playing() });
  return {
    github,
    farm,
    /** Pushes, and waits for the runs that this leads to. @returns their ids by job */
    async push(i: number, jobs: number): Promise<Map<string, string>> {
      const before = new Set((await farm.runs()).map((r) => r.id));
      await farm.hook('push', pushOf(i), { id: `push-${i}` });
      return farm.until(`push ${i} has led to ${jobs} runs`, async () => {
        const fresh = (await farm.runs()).filter((r) => !before.has(r.id));
        return fresh.length === jobs && new Map(fresh.map((r) => [r.job, r.id]));
      });
    },
    async archived(id: string) {
      return farm.until(`run ${id} is archived`, async () => {
        const run = await farm.getRun(id);
        return run.archived && run;
      });
    },
    async [Symbol.asyncDispose]() {
      await farm.stop();
      await github.stop();
    },
  };
}

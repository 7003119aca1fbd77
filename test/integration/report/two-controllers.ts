import type { FarmSummary } from '../../../protocol/api.ts';
import { quickTimes } from '../../support/farm.ts';
import type { TestGitHub } from '../../support/github.ts';
import { type ControllerProcess, ProcessFarm } from '../../support/processes.ts';
import { noLimits, reportTo, shaOf } from './harness.ts';

const jobs = (dir: string) => `
postsubmits:
  acme/app:
  - name: unit
    steps: [{name: a, script: "wait-file ${dir}/go"}]
  - name: lint
    steps: [{name: a, script: "wait-file ${dir}/go"}]
`;

/** Two controllers in processes of their own, c1 leading, and an agent. */
export async function twoControllers(github: TestGitHub, limits = noLimits) {
  const farm = await ProcessFarm.start({ jobs: {}, times: quickTimes });
  await farm.putJobs({ 'jobs.yaml': jobs(farm.dir) });
  await reportTo(farm, github, limits);
  const old = await farm.startController('c1');
  await farm.leader();
  const next = await farm.startController('c2');
  await farm.startAgent({ name: 'a1' });
  return { farm, old, next };
}

export const isBy = (id: string) => (request: { by: string }) => request.by.includes(`(controller ${id})`);

/** Resolves when the old leader has heard that it is none any more. */
export const knows = (farm: ProcessFarm, old: ControllerProcess) =>
  farm.until('the old leader has heard of the new one', async () => {
    const response = await fetch(`${old.url}/api/farm`, { headers: { authorization: `Bearer ${farm.adminToken}` } });
    const { leader, replica } = (await response.json()) as FarmSummary;
    return leader.id === 'c2' && !replica.leads;
  });

/** The one that leads now lets both runs end. */
export async function finish(farm: ProcessFarm, next: ControllerProcess, github: TestGitHub): Promise<void> {
  await farm.until('the other leads', () => next.leads());
  await farm.putFile('go');
  await github.until('both ends are told', (g) => ['unit', 'lint'].every((c) => g.standing(shaOf(0), c)?.state === 'success'));
}

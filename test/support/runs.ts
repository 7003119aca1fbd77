import type { Refs } from '../../protocol/change.ts';
import type { NewRun, StepShape } from '../../protocol/run.ts';

/** A step that needs nothing, runs once and has no say; `over` says what matters to the test. */
export const stepShape = (name: string, over: Partial<StepShape> = {}): StepShape => ({
  name,
  needs: [],
  when: 'success',
  finally: false,
  retries: 0,
  queue: 'default',
  ...over,
});

/** A run as a verdict creates it, of these steps, in a shared workspace unless `over` says otherwise. */
export const newRun = (steps: StepShape[] = [stepShape('test')], over: Partial<NewRun> = {}): NewRun => ({
  id: '1700000000000000001',
  job: 'unit',
  type: 'manual',
  context: 'unit',
  optional: false,
  skipReport: false,
  trusted: true,
  priority: 'normal',
  workspace: 'shared',
  maxConcurrency: 0,
  by: 'anna',
  delivery: 'person/1',
  createdAtMs: 1_000,
  steps,
  spec: { object: 'spec/none' },
  ...over,
});

/** Refs of pull request `number` of `repository` ('org/repo'). */
export const pullRefs = (repository: string, number: number): Refs => {
  const [org = '', repo = ''] = repository.split('/');
  return {
    org,
    repo,
    baseRef: 'main',
    baseSha: '1'.repeat(40),
    pulls: [{ number, author: 'bert', sha: number.toString(16).padStart(40, '0') }],
  };
};

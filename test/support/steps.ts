import type { Step } from '../../protocol/job.ts';

/** A step as a job file would resolve it, with everything that a test does not care about. */
export const stepWith = (given: Partial<Step>): Step => ({
  name: 'test',
  env: [],
  secrets: {},
  needs: [],
  when: 'success',
  finally: false,
  timeoutMs: 60_000,
  graceMs: 10_000,
  retries: 0,
  queue: 'default',
  ...given,
});

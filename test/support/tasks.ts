import type { Task } from '../../protocol/task.ts';
import { stepWith } from './steps.ts';

/** A task of a run without a repository; override what the test is about. */
export const aTask = (changes: Partial<Task> = {}): Task => ({
  v: 1,
  term: 1,
  agent: 'a',
  run: '1990000000000000001',
  step: 'build',
  attempt: 1,
  round: 1,
  workspace: 'local',
  job: 'unit',
  type: 'periodic',
  trusted: true,
  spec: stepWith({ name: 'build', script: 'true' }),
  secrets: {},
  token: 'token',
  maxLogBytes: 1_000_000,
  ...changes,
});

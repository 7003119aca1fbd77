import type { Problem } from '../../protocol/job.ts';
import type { Loaded } from './load.ts';

/** `file:line:col: job 'x': message`, as editors and terminals turn into a link. */
export function describeProblem({ file, line, column, job, message }: Problem): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(':');
  return `${place}: ${job === undefined ? '' : `job '${job}': `}${message}`;
}

/** One line for each problem. */
export const describeProblems = (problems: readonly Problem[]): string => problems.map(describeProblem).join('\n');

/** One line about a load: `3 files, 12 jobs (4 presubmit, 8 periodic), 2 repositories`, or how many problems there are. */
export function summarise({ config, problems, files }: Loaded): string {
  const read = count(files, 'file', 'files');
  if (!config) return `${read}, ${count(problems.length, 'problem', 'problems')}`;
  const types = new Map<string, number>();
  for (const { type } of config.jobs) types.set(type, (types.get(type) ?? 0) + 1);
  const byType = [...types].sort(([a], [b]) => (a < b ? -1 : 1)).map(([type, n]) => `${n} ${type}`);
  const repositories = new Set(config.jobs.flatMap((j) => j.repo ?? []));
  const jobs = `${count(config.jobs.length, 'job', 'jobs')}${byType.length > 0 ? ` (${byType.join(', ')})` : ''}`;
  return `${read}, ${jobs}, ${count(repositories.size, 'repository', 'repositories')}`;
}

const count = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`;

import type { Job } from '../../protocol/job.ts';
import type { Rule } from '../../protocol/record.ts';
import { matcher } from './matches.ts';
import { cut, isProblem, type Problem, quote } from './read.ts';

/** The files that a change touches, or why they are not known. */
export type Changed = { files: readonly string[] } | { unknown: string };

/** Answers for the jobs of one change. Jobs share expressions, so each is tried on the files once. */
export function rulesFor(branch: string, changed: Changed): (job: Job) => Rule {
  const tried = new Map<string, ChangeAnswer>();
  const once = (key: string, answer: () => ChangeAnswer): ChangeAnswer => {
    const known = tried.get(key) ?? answer();
    tried.set(key, known);
    return known;
  };
  return (job) => {
    const answer = branchAnswer(job, branch) ?? changeAnswer(job, changed, once);
    return { job: job.name, runs: answer.runs, why: cut(answer.why, 300) };
  };
}

type ChangeAnswer = Omit<Rule, 'job'>;
const no = (why: string): ChangeAnswer => ({ runs: false, why });
const yes = (why: string): ChangeAnswer => ({ runs: true, why });

/** Why the branch keeps the job from running; undefined when it does not. */
export function branchAnswer(job: Job, branch: string): ChangeAnswer | undefined {
  if (job.skipBranches.length > 0) {
    const skipped = matchesAny(job.skipBranches, branch);
    if (typeof skipped !== 'boolean') return no(`skip_branches: ${skipped.problem}`);
    if (skipped) return no(`branch ${quote(branch)} matches skip_branches`);
  }
  if (job.branches.length === 0) return undefined;
  const wanted = matchesAny(job.branches, branch);
  if (typeof wanted !== 'boolean') return no(`branches: ${wanted.problem}`);
  return wanted ? undefined : no(`branch ${quote(branch)} matches none of branches (${cut(job.branches.join(', '), 120)})`);
}

/** One expression of all, as in Prow: a flag such as (?i) counts for those that stand after it, too. */
function matchesAny(patterns: readonly string[], branch: string): boolean | Problem {
  const matches = matcher(patterns.join('|'));
  return typeof matches === 'function' ? matches(branch) : matches;
}

function changeAnswer(job: Job, changed: Changed, once: (key: string, answer: () => ChangeAnswer) => ChangeAnswer): ChangeAnswer {
  const { runIfChanged, skipIfOnlyChanged } = job;
  if (runIfChanged !== undefined) return once(`run ${runIfChanged}`, () => runIf(runIfChanged, changed));
  if (skipIfOnlyChanged !== undefined) return once(`skip ${skipIfOnlyChanged}`, () => skipIfOnly(skipIfOnlyChanged, changed));
  return job.alwaysRun ? yes('runs always') : no('runs only when it is asked for');
}

function runIf(pattern: string, changed: Changed): ChangeAnswer {
  if ('unknown' in changed) return yes(changed.unknown);
  const matches = matcher(pattern);
  if (isProblem(matches)) return no(`run_if_changed: ${matches.problem}`);
  const hit = changed.files.find(matches);
  if (hit !== undefined) return yes(`${quote(hit)} matches run_if_changed`);
  return no(changed.files.length === 0 ? 'no file changed' : `none of ${counted(changed.files)} matches run_if_changed`);
}

function skipIfOnly(pattern: string, changed: Changed): ChangeAnswer {
  if ('unknown' in changed) return yes(changed.unknown);
  const matches = matcher(pattern);
  if (isProblem(matches)) return no(`skip_if_only_changed: ${matches.problem}`);
  const other = changed.files.find((file) => !matches(file));
  if (other !== undefined) return yes(`${quote(other)} does not match skip_if_only_changed`);
  return no(changed.files.length === 0 ? 'no file changed' : `all of ${counted(changed.files)} match skip_if_only_changed`);
}

const counted = (files: readonly string[]): string => `${files.length} changed ${files.length === 1 ? 'file' : 'files'}`;

import { type Refs, repoOf } from '../../protocol/change.ts';
import type { RequestOf } from '../../protocol/delivery.ts';
import type { Job } from '../../protocol/job.ts';
import type { Verdict } from '../../protocol/record.ts';
import type { Here } from '../../protocol/source.ts';
import { closeNames } from './close-names.ts';
import type { TriggerInput } from './input.ts';
import { createRuns } from './new-run.ts';
import { isProblem, type Problem, quote, readRefs, sameName } from './read.ts';
import { branchAnswer } from './rules.ts';
import { askedBy, verdict } from './verdict.ts';

/** A person asks for one run of a job, whatever its branch and change filters say. */
export function decideRun(input: TriggerInput, request: RequestOf<'run'>): Verdict {
  const { here } = request;
  if (here && request.refs) return verdict(input, 'refused', 'refs: the working tree that was sent is what is tested');
  const given = request.refs === undefined ? undefined : readRefs(request.refs);
  if (given && isProblem(given)) return verdict(input, 'refused', `refs: ${given.problem}`);
  const job = chooseJob(input, request, given?.value);
  if (isProblem(job)) return verdict(input, 'refused', job.problem);
  const refs = here ? readRefs(refsOf(here, job)) : given;
  if (refs && isProblem(refs)) return verdict(input, 'refused', `here: ${refs.problem}`);
  if (!refs && job.type !== 'manual' && job.type !== 'periodic') return verdict(input, 'refused', whichRefs(job));
  // Nobody here knows who wrote a pull request that a person names, so what is in it gets no secrets.
  const trusted = (refs?.value.pulls ?? []).length === 0;
  const why = `${quote(askedBy(input))} asked for it`;
  const source = here && { upload: here.upload };
  const [pull, ...others] = refs?.value.pulls ?? [];
  return verdict(input, 'runs', `${quote(job.name)} runs: ${why}`, {
    ...(refs ? { repo: repoOf(refs.value) } : {}),
    ...(pull && others.length === 0 ? { pull: pull.number } : {}),
    rules: [{ job: job.name, runs: true, why }],
    creates: createRuns(input, [{ job, refs: refs?.value, source, trusted, priority: request.priority }]),
  });
}

/** The commit of a working tree, in the name of the job's repository. */
function refsOf({ sha, org = 'local', repo = 'source', baseRef }: Here, job: Job): Refs {
  // A Gerrit server may be the organisation.
  const [, jobOrg = org, jobRepo = repo] = /^((?:https?:\/\/)?[^/]+)\/(.+)$/.exec(job.repo ?? '') ?? [];
  return { org: jobOrg, repo: jobRepo, baseRef, baseSha: sha, pulls: [] };
}

/** The one job that is meant. Names may be shared by repositories, and within one by branches and types. */
function chooseJob(input: TriggerInput, { job: name, repo, here }: RequestOf<'run'>, refs: Refs | undefined): Job | Problem {
  const { jobs } = input.jobs;
  const named = jobs.filter((job) => job.name === name);
  if (named.length === 0) return { problem: unknownJob(name, jobs) };
  const wantedRepo = repo ?? (refs ? repoOf(refs) : undefined);
  if (repo !== undefined && refs && !sameName(repo, repoOf(refs))) {
    return { problem: `refs are of ${quote(repoOf(refs))}, but repo says ${quote(repo)}` };
  }
  const inRepo = named.filter(
    (job) => wantedRepo === undefined || (job.repo === undefined ? repo === undefined : sameName(job.repo, wantedRepo)),
  );
  if (inRepo.length === 0) {
    return { problem: `job ${quote(name)} is not of ${quote(wantedRepo ?? '')}; it is of ${reposOf(named)}` };
  }
  const fitting = inRepo.length === 1 ? inRepo : fitsBest(inRepo, refs ?? (here && { baseRef: here.baseRef, pulls: [] }));
  const [only, ...others] = fitting;
  if (only && others.length === 0) return only;
  const many = new Set(inRepo.map((job) => job.repo)).size > 1;
  return {
    problem: many
      ? `several repositories have a job ${quote(name)}: say which with repo (${reposOf(inRepo)})`
      : `${inRepo.length} jobs are named ${quote(name)}: say which with refs (base branch, and pulls for the presubmit)`,
  };
}

/** Jobs of one name told apart by the refs: presubmits are for pull requests, and each is for its branches. */
function fitsBest(jobs: readonly Job[], refs: Pick<Refs, 'baseRef' | 'pulls'> | undefined): readonly Job[] {
  if (!refs) return jobs;
  const ofType = jobs.filter((job) => (job.type === 'presubmit' || job.type === 'batch') === refs.pulls.length > 0);
  const left = ofType.length > 0 ? ofType : jobs;
  const ofBranch = left.filter((job) => branchAnswer(job, refs.baseRef) === undefined);
  return ofBranch.length > 0 ? ofBranch : left;
}

const reposOf = (jobs: readonly Job[]): string =>
  [...new Set(jobs.map((job) => job.repo ?? 'no repository'))].slice(0, 5).join(', ');

function unknownJob(name: string, jobs: readonly Job[]): string {
  if (jobs.length === 0) return `there is no job ${quote(name)}: no job is configured`;
  const close = closeNames(
    name,
    jobs.map((job) => job.name),
  );
  return `there is no job ${quote(name)}${close.length > 0 ? `; did you mean ${close.map(quote).join(' or ')}?` : ''}`;
}

function whichRefs(job: Job): string {
  const [org = 'ORG', repo = 'REPO'] = job.repo?.split('/') ?? [];
  const what = job.type === 'postsubmit' ? 'baseSha' : 'baseSha and pulls (number, author, sha)';
  return `${job.type} ${quote(job.name)} tests a change: give refs with org ${quote(org)}, repo ${quote(repo)}, baseRef, ${what}`;
}

import type { Job, Problem } from '../../protocol/job.ts';
import { applyPresets } from './apply-presets.ts';
import { findDoubles } from './find-doubles.ts';
import type { FileJobs, Repository } from './read-file.ts';

/** Puts files together: presets and trust are added to jobs, and what clashes between jobs is found. */
export function combine(files: readonly FileJobs[]): { jobs: Job[]; problems: Problem[] } {
  const problems = files.flatMap((f) => f.problems);
  const drafts = files.flatMap((f) => f.jobs);
  problems.push(...findDoubles(drafts));
  const trust = trustByRepo(
    files.flatMap((f) => f.repositories),
    problems,
  );
  const withEnv = applyPresets(
    drafts,
    files.flatMap((f) => f.presets),
    problems,
  );
  const jobs = withEnv.map((draft) => ({ ...draft, trust: draft.trust ?? trust.get(draft.repo ?? '') ?? 'members' }));
  return { jobs, problems };
}

function trustByRepo(repositories: Repository[], problems: Problem[]): Map<string, Job['trust']> {
  const byRepo = new Map<string, Repository>();
  for (const said of repositories) {
    const first = byRepo.get(said.repo);
    if (!first) byRepo.set(said.repo, said);
    else
      problems.push({
        ...said.place,
        message: `the settings of ${said.repo} already stand in ${first.place.file}:${first.place.line}; put them together`,
      });
  }
  return new Map([...byRepo].flatMap(([repo, { trust }]) => (trust ? [[repo, trust]] : [])));
}

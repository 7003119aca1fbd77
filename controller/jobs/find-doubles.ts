import { RE2JS } from 're2js';
import type { Problem } from '../../protocol/job.ts';
import type { Draft } from './normalise.ts';
import type { FilePlace } from './read-file.ts';

type Placed = { draft: Draft; place: FilePlace };

/** Jobs that nobody could tell apart: of the same name, or with the same context, where both may run. */
export function findDoubles(jobs: readonly Placed[]): Problem[] {
  const problems: Problem[] = [];
  const names = new Map<string, BranchIndex>();
  const contexts = new Map<string, BranchIndex>();
  const alone = new Map<string, Placed>();
  for (const job of jobs) {
    const { draft, place } = job;
    const report = (message: string) => problems.push({ ...place, job: draft.name, message });
    if (draft.type === 'periodic' || draft.type === 'manual') {
      const first = alone.get(draft.name);
      if (first) report(`a ${first.draft.type} job '${draft.name}' already stands in ${at(first)}; rename one of them`);
      else alone.set(draft.name, job);
      continue;
    }
    const sameName = indexOf(names, [draft.type, draft.repo, draft.name]).add(job);
    if (sameName) {
      const branches = draft.branches.length > 0 || draft.skipBranches.length > 0 ? ', or give them different branches' : '';
      report(
        `a ${draft.type} '${draft.name}' of ${draft.repo} for the same branches already stands in ${at(sameName)}; rename one of them${branches}`,
      );
      continue;
    }
    const sameContext = indexOf(contexts, [draft.type, draft.repo, draft.context]).add(job);
    if (sameContext && sameContext.draft.name !== draft.name)
      report(
        `'${sameContext.draft.name}' in ${at(sameContext)} reports under the context '${draft.context}' too; give each its own`,
      );
  }
  return problems;
}

const at = ({ place }: Placed): string => `${place.file}:${place.line}`;

function indexOf(indexes: Map<string, BranchIndex>, key: (string | undefined)[]): BranchIndex {
  const text = JSON.stringify(key);
  const index = indexes.get(text) ?? new BranchIndex();
  indexes.set(text, index);
  return index;
}

/**
 * Finds a job that may run for the same branch, by Prow's rule: two lists of `branches` meet only in an identical text; a list meets
 * a job that only skips branches when that does not skip one of the list's texts; two jobs without a list always meet.
 */
class BranchIndex {
  readonly #byBranch = new Map<string, Placed>();
  /** The first without a list of branches: a second one would meet it. */
  #open: { job: Placed; skips: (branch: string) => boolean } | undefined;

  /** @returns the job that it meets; else it is remembered */
  add(job: Placed): Placed | undefined {
    const { branches, skipBranches } = job.draft;
    if (branches.length === 0) {
      if (this.#open) return this.#open.job;
      const skips = anyOf(skipBranches);
      this.#open = { job, skips };
      for (const [branch, other] of this.#byBranch) if (!skips(branch)) return other;
      return undefined;
    }
    const open = this.#open;
    for (const branch of branches) {
      const other = this.#byBranch.get(branch);
      if (other && other !== job) return other;
      if (open && !open.skips(branch)) return open.job;
      this.#byBranch.set(branch, job);
    }
    return undefined;
  }
}

function anyOf(patterns: string[]): (branch: string) => boolean {
  if (patterns.length === 0) return () => false;
  const compiled = patterns.map((p) => RE2JS.compile(p));
  return (branch) => compiled.some((c) => c.matcher(branch).find());
}

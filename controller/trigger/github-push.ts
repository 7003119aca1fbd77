import { type Static, Type } from 'typebox';
import { repoOf } from '../../protocol/change.ts';
import type { Verdict } from '../../protocol/record.ts';
import type { TriggerInput } from './input.ts';
import { createRuns } from './new-run.ts';
import { isProblem, quote, Repository, read, readRefs, sameName, splitRepo } from './read.ts';
import { type Changed, rulesFor } from './rules.ts';
import { verdict } from './verdict.ts';

/** What is read of a `push`. GitHub's own `size` is only in some versions' payloads. */
const Push = Type.Object({
  ref: Type.String({ minLength: 1 }),
  after: Type.String(),
  deleted: Type.Optional(Type.Boolean()),
  repository: Repository,
  commits: Type.Optional(Type.Array(Type.Unknown())),
  size: Type.Optional(Type.Number()),
});
type Push = Static<typeof Push>;

const CommitFiles = Type.Object({
  added: Type.Array(Type.String()),
  modified: Type.Array(Type.String()),
  removed: Type.Array(Type.String()),
});

/** A branch or a tag was pushed: its postsubmits. */
export function decidePush(input: TriggerInput): Verdict {
  const payload = read(Push, input.delivery.payload);
  if (isProblem(payload)) return verdict(input, 'refused', `this is not a push as GitHub sends it: ${payload.problem}`);
  const push = payload.value;
  const repo = push.repository.full_name;
  const name = /^refs\/(?:heads|tags)\/(.+)$/s.exec(push.ref)?.[1];
  if (name === undefined) return verdict(input, 'nothing', `${quote(push.ref)} is neither a branch nor a tag`, { repo });
  if (push.deleted || /^0*$/.test(push.after)) return verdict(input, 'nothing', `${quote(name)} was deleted`, { repo });
  const refs = readRefs({ ...splitRepo(repo), baseRef: name, baseSha: push.after, pulls: [] });
  if (isProblem(refs)) return verdict(input, 'refused', `this push cannot be tested: ${refs.problem}`, { repo });

  const jobs = input.jobs.jobs.filter((job) => job.type === 'postsubmit' && sameName(job.repo ?? '', repo));
  const ruleOf = rulesFor(name, changedBy(push));
  const answers = jobs.map((job) => ({ job, rule: ruleOf(job) }));
  const creates = createRuns(
    input,
    answers.flatMap(({ job, rule }) => (rule.runs ? { job, refs: refs.value, trusted: true } : [])),
  );
  const of = `${jobs.length} ${jobs.length === 1 ? 'postsubmit' : 'postsubmits'} of ${repoOf(refs.value)}`;
  const effects = { repo, rules: answers.map((a) => a.rule), creates };
  if (jobs.length === 0) return verdict(input, 'nothing', `no postsubmit of ${repo} is configured`, effects);
  return verdict(
    input,
    creates.length > 0 ? 'runs' : 'nothing',
    `push to ${quote(name)}: ${creates.length > 0 ? creates.length : 'none'} of ${of} ${creates.length === 1 ? 'runs' : 'run'}`,
    effects,
  );
}

/** GitHub lists at most so many commits of a push; older GitHub servers stop at 20. */
const commitLimits = [20, 2_048] as const;
/** Beyond so many names matching them would hold up other decisions. */
const maxFiles = 20_000;

/** The union of what the commits say. Unknown when the payload may not list all of it: a job too many beats one too few. */
function changedBy(push: Push): Changed {
  const unknown = (why: string): Changed => ({ unknown: `changed files are not known (${why}): runs` });
  const { commits, size } = push;
  if (!commits) return unknown('the push lists no commits');
  const [few, most] = commitLimits;
  const full = size === undefined ? commits.length === few || commits.length >= most : size > commits.length;
  if (full) return unknown(`the push lists ${commits.length} commits and may have more`);
  const files = new Set<string>();
  for (const commit of commits) {
    const listed = read(CommitFiles, commit);
    if (isProblem(listed)) return unknown('a commit lists no files');
    for (const names of [listed.value.added, listed.value.modified, listed.value.removed])
      for (const name of names) files.add(name);
    if (files.size > maxFiles) return unknown(`more than ${maxFiles}`);
  }
  return { files: [...files] };
}

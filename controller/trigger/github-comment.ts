import { Type } from 'typebox';
import type { Delivery } from '../../protocol/delivery.ts';
import type { FarmChange, Verdict } from '../../protocol/record.ts';
import { readPullRequest, sortOut } from './github-pull-request.ts';
import type { FactWant, TriggerFarm, TriggerInput } from './input.ts';
import { createRuns } from './new-run.ts';
import { isMember, isProblem, type Problem, quote, Repository, read } from './read.ts';
import { verdict } from './verdict.ts';

const User = Type.Union([Type.Null(), Type.Object({ login: Type.String() })]);

/** What is read of an `issue_comment`. `pull_request` is there when the issue is a pull request. */
const IssueComment = Type.Object({
  action: Type.String(),
  repository: Repository,
  issue: Type.Object({
    number: Type.Integer({ minimum: 1 }),
    state: Type.Optional(Type.String()),
    user: User,
    author_association: Type.String(),
    pull_request: Type.Optional(Type.Unknown()),
  }),
  comment: Type.Object({ body: Type.Union([Type.Null(), Type.String()]), user: User, author_association: Type.String() }),
});

type OkToTest = { ask: 'ok-to-test'; key: string; repo: string; pull: number; by: string; authorIsMember: boolean };
type NoAsk = { ask: 'nothing'; reason: string; repo: string; pull: number };

/** Somebody commented: the only command so far is /ok-to-test. */
export function decideComment(input: TriggerInput): Verdict {
  const asked = readComment(input.delivery.payload);
  if (isProblem(asked)) return verdict(input, 'refused', `this is not an issue_comment as GitHub sends it: ${asked.problem}`);
  const { repo, pull } = asked;
  if (asked.ask === 'nothing') return verdict(input, 'nothing', asked.reason, { repo, pull });
  const before = input.farm.pulls.get(asked.key);
  if (!before && asked.authorIsMember) {
    return verdict(input, 'nothing', `#${pull} is by a member, so it needs no /ok-to-test`, { repo, pull });
  }
  if (before?.allowed && !before.waiting) return verdict(input, 'nothing', `#${pull} was allowed already`, { repo, pull });
  return allow(input, asked);
}

/** What a decision on this comment needs: the delivery whose jobs wait for it. */
export function commentFacts(delivery: Delivery, farm: Pick<TriggerFarm, 'pulls'>): FactWant[] {
  const asked = readComment(delivery.payload);
  const waiting = isProblem(asked) || asked.ask === 'nothing' ? undefined : farm.pulls.get(asked.key)?.waiting;
  return waiting ? [{ kind: 'delivery', ...waiting }] : [];
}

function readComment(payload: unknown): OkToTest | NoAsk | Problem {
  const event = read(IssueComment, payload);
  if (isProblem(event)) return event;
  const { action, repository, issue, comment } = event.value;
  const [repo, pull] = [repository.full_name, issue.number];
  const nothing = (reason: string): NoAsk => ({ ask: 'nothing', reason, repo, pull });
  if (action !== 'created') return nothing(`only new comments are read; this one was ${quote(action)}`);
  if (!issue.pull_request) return nothing(`#${pull} is an issue, not a pull request`);
  if (issue.state !== undefined && issue.state !== 'open') return nothing(`#${pull} is not open`);
  if (!hasCommand(comment.body ?? '', '/ok-to-test')) return nothing('the comment holds no command');
  const by = comment.user?.login ?? 'ghost';
  if (!isMember(comment.author_association)) {
    const author = issue.user !== null && comment.user?.login === issue.user.login;
    return nothing(
      `only a member's /ok-to-test counts; ${quote(by)} is ${author ? 'the author of the pull request and no member' : 'not a member'}`,
    );
  }
  return { ask: 'ok-to-test', key: `${repo}#${pull}`, repo, pull, by, authorIsMember: isMember(issue.author_association) };
}

/** Whether a line of `body`, outside of fenced code, is `command` and nothing else. Quoted or indented lines are not. */
function hasCommand(body: string, command: string): boolean {
  let fence: string | undefined;
  for (const line of body.split(/\r\n|\r|\n/)) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (mark !== undefined && fence === undefined) fence = mark;
    else if (mark !== undefined && fence !== undefined && mark.startsWith(fence)) fence = undefined;
    else if (fence === undefined && line.trimEnd() === command) return true;
  }
  return false;
}

/** Runs what waited, without secrets, and remembers the word for later pushes. */
function allow(input: TriggerInput, { key, repo, pull, by }: OkToTest): Verdict {
  const changes: FarmChange[] = [{ type: 'pull', key, pull: { allowed: true } }];
  const done = (why: string): Verdict => verdict(input, 'done', `${quote(by)} allowed #${pull}; ${why}`, { repo, pull, changes });
  const waiting = input.farm.pulls.get(key)?.waiting;
  if (!waiting) return done('nothing waited for it, later pushes run');
  const { delivery } = input.facts;
  const found = delivery && delivery.source === waiting.source && delivery.id === waiting.id;
  const change = found ? readPullRequest(delivery.payload) : undefined;
  if (!change || isProblem(change) || change.key !== key)
    return done('what waited for it is not kept any more: push again to run it');
  const { wanted, rules, summary } = sortOut(input, change, 'just-allowed');
  const creates = createRuns(input, wanted);
  if (creates.length === 0)
    return verdict(input, 'done', `${quote(by)} allowed #${pull}; ${summary}`, { repo, pull, changes, rules });
  return verdict(input, 'runs', `${quote(by)} allowed #${pull}: ${summary}`, { repo, pull, changes, rules, creates });
}

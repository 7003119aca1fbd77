import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { comment, example, examplesOf, farmWith, job, pullRequest, ran, repo, shaA, shaB } from './given.ts';

const key = `${repo}#2`;
/** A farm in which the pull request of a stranger waits. */
const waiting = (...jobs: Parameters<typeof farmWith>) => {
  const world = farmWith(...(jobs.length > 0 ? jobs : [job('unit')]));
  world.github('pull_request', pullRequest({ sha: shaA }));
  return world;
};

describe('/ok-to-test', () => {
  const heard: [string, Parameters<typeof comment>[0]][] = [
    ['a member', {}],
    ['an owner', { association: 'OWNER' }],
    ['a collaborator', { association: 'COLLABORATOR' }],
    ['a member among other lines', { body: 'Looks harmless.\r\n\r\n/ok-to-test  \r\nThanks!' }],
    ['a member after a block of code', { body: '```\nmake\n```\n/ok-to-test' }],
    ['the author who has become a member', { by: 'Codertocat', authorAssociation: 'MEMBER' }],
  ];
  for (const [name, over] of heard) {
    test(`${name} lets what waited run, without secrets`, () => {
      const world = waiting();
      const verdict = world.github('issue_comment', comment(over));
      assert.equal(verdict.decision, 'runs', verdict.reason);
      assert.deepEqual(
        verdict.creates.map((run) => [run.job, run.trusted, run.refs?.pulls[0]?.sha, run.delivery]),
        [['unit', false, shaA, 'github/d2']],
      );
      assert.deepEqual(world.farm.pulls.get(key), { allowed: true });
    });
  }

  const unheard: [string, ReturnType<typeof comment>, RegExp][] = [
    [
      'a stranger’s word',
      comment({ association: 'NONE', by: 'eve' }),
      /only a member's \/ok-to-test counts; 'eve' is not a member/,
    ],
    ['a contributor’s word', comment({ association: 'CONTRIBUTOR' }), /only a member's/],
    [
      'the author’s own word',
      comment({ by: 'Codertocat', association: 'CONTRIBUTOR' }),
      /the author of the pull request and no member/,
    ],
    ['a comment changed afterwards', comment({ action: 'edited' }), /only new comments are read; this one was 'edited'/],
    ['a deleted comment', comment({ action: 'deleted' }), /only new comments/],
    ['a quoted word', comment({ body: '> /ok-to-test' }), /no command/],
    ['a word in code', comment({ body: '```sh\n/ok-to-test\n```' }), /no command/],
    ['a word in code that holds a shorter fence', comment({ body: '````\n```\n/ok-to-test\n````' }), /no command/],
    ['a word in code that never ends', comment({ body: '~~~\n/ok-to-test' }), /no command/],
    ['an indented word', comment({ body: '    /ok-to-test' }), /no command/],
    ['a word with more behind it', comment({ body: '/ok-to-test cancel' }), /no command/],
    ['a word within a sentence', comment({ body: 'please /ok-to-test' }), /no command/],
    ['a word in capitals', comment({ body: '/OK-TO-TEST' }), /no command/],
    ['no body', { ...comment(), comment: { ...comment().comment, body: null } }, /no command/],
    ['a comment on an issue', { ...comment(), issue: { ...comment().issue, pull_request: undefined } }, /is an issue/],
    ['a comment on a closed pull request', { ...comment(), issue: { ...comment().issue, state: 'closed' } }, /is not open/],
  ];
  for (const [name, payload, why] of unheard) {
    test(`${name} runs nothing and asks for nothing`, () => {
      const world = waiting();
      const verdict = world.github('issue_comment', payload);
      assert.equal(verdict.decision, 'nothing');
      assert.match(verdict.reason, why);
      assert.deepEqual([verdict.creates, verdict.changes, world.wanted], [[], [], []]);
      assert.equal(world.farm.pulls.get(key)?.allowed, false);
    });
  }

  test('the delivery that waits is the only fact wanted', () => {
    const world = waiting();
    world.github('issue_comment', comment());
    assert.deepEqual(world.wanted, [{ kind: 'delivery', source: 'github', id: 'd1', seq: 1 }]);
  });

  test('the newest push runs, not the first', () => {
    const world = waiting();
    world.github('pull_request', pullRequest({ action: 'synchronize', sha: shaB }));
    const verdict = world.github('issue_comment', comment());
    assert.equal(verdict.creates[0]?.refs?.pulls[0]?.sha, shaB);
  });

  test('jobs that trust everybody have run and do not run again, nor are they cancelled', () => {
    const world = waiting(job('unit'), job('lint', { trust: 'all' }));
    const verdict = world.github('issue_comment', comment());
    assert.deepEqual(ran(verdict), ['unit']);
    assert.deepEqual(verdict.cancels, []);
    assert.equal(verdict.rules[1]?.why, 'did not wait for /ok-to-test');
  });

  test('said twice, it runs once', () => {
    const world = waiting();
    world.github('issue_comment', comment());
    const again = world.github('issue_comment', comment());
    assert.deepEqual([again.decision, again.creates], ['nothing', []]);
    assert.match(again.reason, /#2 was allowed already/);
  });

  test('later pushes run without being asked for', () => {
    const world = waiting();
    world.github('issue_comment', comment());
    const verdict = world.github('pull_request', pullRequest({ action: 'synchronize', sha: shaB }));
    assert.deepEqual([verdict.decision, verdict.creates[0]?.trusted, verdict.cancels.length], ['runs', false, 1]);
  });

  test('where nothing waits the word is kept for later', () => {
    const world = farmWith(job('unit'));
    const verdict = world.github('issue_comment', comment());
    assert.equal(verdict.decision, 'done');
    assert.match(verdict.reason, /'member' allowed #2; nothing waited for it, later pushes run/);
    assert.deepEqual(world.farm.pulls.get(key), { allowed: true });
  });

  test('a member’s pull request needs no word', () => {
    const verdict = farmWith(job('unit')).github('issue_comment', comment({ authorAssociation: 'MEMBER' }));
    assert.equal(verdict.decision, 'nothing');
    assert.match(verdict.reason, /by a member/);
  });

  const lost = { v: 1, source: 'github', atMs: 1, by: 'github', event: 'pull_request' } as const;
  const facts = [
    ['is not kept any more', { delivery: null }],
    ['was not fetched', {}],
    ['is another one', { delivery: { ...lost, id: 'other', payload: pullRequest() } }],
    ['is of another pull request', { delivery: { ...lost, id: 'd1', payload: pullRequest({ number: 9 }) } }],
    ['cannot be read', { delivery: { ...lost, id: 'd1', payload: 'x' } }],
  ] as const;
  for (const [name, known] of facts) {
    test(`when the delivery that waited ${name}, the word counts for the next push`, () => {
      const world = waiting();
      const verdict = world.github('issue_comment', comment(), known);
      assert.equal(verdict.decision, 'done');
      assert.match(verdict.reason, /push again to run it/);
      assert.deepEqual(verdict.changes, [{ type: 'pull', key, pull: { allowed: true } }]);
    });
  }

  test('when the job has gone meanwhile, the word is kept and nothing runs', () => {
    const world = waiting();
    world.jobs = [];
    const verdict = world.github('issue_comment', comment());
    assert.deepEqual([verdict.decision, verdict.creates], ['done', []]);
    assert.match(verdict.reason, /no presubmit of .* is configured/);
  });

  test('every recorded comment is decided and none is a command', () => {
    for (let i = 0; i < examplesOf('issue_comment'); i++) {
      assert.equal(farmWith(job('unit')).github('issue_comment', example('issue_comment', i)).decision, 'nothing');
    }
  });

  test('what is no comment is refused', () => {
    const verdict = farmWith(job('unit')).github('issue_comment', { action: 'created' });
    assert.equal(verdict.decision, 'refused');
    assert.match(verdict.reason, /not an issue_comment/);
  });
});

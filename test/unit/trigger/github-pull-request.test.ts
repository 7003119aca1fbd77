import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Job } from '../../../protocol/job.ts';
import type { Verdict } from '../../../protocol/record.ts';
import { example, examplesOf, farmWith, job, postsubmit, pullRequest, ran, repo, shaA, shaB, shaC } from './given.ts';

const key = `${repo}#2`;
const member = { association: 'MEMBER' };

type Row = [name: string, job: Partial<Job>, pull: Parameters<typeof pullRequest>[0], decision: Verdict['decision'], why: RegExp];
const rows: Row[] = [
  ['an owner’s pull request runs', {}, { association: 'OWNER' }, 'runs', /runs always/],
  ['a member’s runs', {}, member, 'runs', /runs always/],
  ['a collaborator’s runs', {}, { association: 'COLLABORATOR' }, 'runs', /runs always/],
  ['a contributor’s waits', {}, { association: 'CONTRIBUTOR' }, 'waiting', /waits for \/ok-to-test/],
  ['a first-timer’s waits', {}, { association: 'FIRST_TIME_CONTRIBUTOR' }, 'waiting', /waits/],
  ['a stranger’s waits', {}, {}, 'waiting', /waits/],
  ['an association that nobody knows is a stranger’s', {}, { association: 'member' }, 'waiting', /waits/],
  ['a job that trusts everybody runs for a stranger', { trust: 'all' }, {}, 'runs', /runs always/],
  ['synchronize runs', {}, { ...member, action: 'synchronize' }, 'runs', /always/],
  ['reopened runs', {}, { ...member, action: 'reopened' }, 'runs', /always/],
  [
    'another base runs',
    {},
    { ...member, action: 'edited', changes: { base: { ref: { from: 'old' }, sha: { from: shaA } } } },
    'runs',
    /always/,
  ],
  ['another title does not', {}, { ...member, action: 'edited', changes: { title: { from: 'old' } } }, 'nothing', /absent/],
  ['labeled does not', {}, { ...member, action: 'labeled' }, 'nothing', /absent/],
  ['ready_for_review does not: drafts run like others', {}, { ...member, action: 'ready_for_review' }, 'nothing', /absent/],
  ['the branch is that of the base', { branches: ['^master$'] }, member, 'runs', /always/],
  ['another base branch does not run', { branches: ['^main$'] }, member, 'nothing', /matches none of branches/],
  ['a skipped base branch does not run', { skipBranches: ['master'] }, member, 'nothing', /matches skip_branches/],
  ['a stranger waits only for what would run', { branches: ['^main$'] }, {}, 'nothing', /matches none of branches/],
  [
    'run_if_changed runs, the files are not known yet',
    { alwaysRun: false, runIfChanged: '\\.go$' },
    member,
    'runs',
    /^changed files are not known yet: runs$/,
  ],
  ['so does skip_if_only_changed', { alwaysRun: false, skipIfOnlyChanged: '\\.md$' }, member, 'runs', /not known yet: runs/],
  ['a job that is only asked for does not run', { alwaysRun: false }, member, 'nothing', /only when it is asked for/],
  ['a postsubmit does not run', { type: 'postsubmit' }, member, 'nothing', /absent/],
  ['a job of another repository does not run', { repo: 'Codertocat/Hello' }, member, 'nothing', /absent/],
];

describe('pull_request', () => {
  for (const [name, over, pull, decision, why] of rows) {
    test(name, () => {
      const verdict = farmWith(job('unit', over)).github('pull_request', pullRequest(pull));
      assert.equal(verdict.decision, decision, verdict.reason);
      assert.deepEqual(ran(verdict), decision === 'runs' ? ['unit'] : []);
      assert.match(verdict.rules[0]?.why ?? 'absent', why);
      assert.deepEqual([verdict.repo, verdict.pull], [repo, 2]);
    });
  }

  test('the run tests the head merged onto the base, with what the pull request says of itself', () => {
    const [run] = farmWith(job('unit')).github('pull_request', example('pull_request')).creates;
    assert.equal(run?.trusted, true);
    assert.deepEqual(run?.refs, {
      org: 'Codertocat',
      repo: 'Hello-World',
      baseRef: 'master',
      baseSha: 'f95f852bd8fca8fcc58a9a2d6c842781e32a215e',
      pulls: [
        {
          number: 2,
          author: 'Codertocat',
          sha: 'ec26c3e57ca3a959ca5aad62de7213c562f8c821',
          title: 'Update the README with new information.',
          headRef: 'changes',
          link: 'https://github.com/Codertocat/Hello-World/pull/2',
        },
      ],
    });
  });

  test('every recorded pull_request event is decided, and only openings, pushes and reopenings run', () => {
    for (let i = 0; i < examplesOf('pull_request'); i++) {
      const payload = example('pull_request', i);
      const verdict = farmWith(job('unit')).github('pull_request', payload);
      const starts = ['opened', 'synchronize', 'reopened'].includes(payload.action);
      assert.equal(verdict.decision, starts ? 'runs' : 'nothing', payload.action);
    }
  });

  test('a job that trusts everybody runs for a stranger without secrets, and for a member with them', () => {
    const stranger = farmWith(job('lint', { trust: 'all' })).github('pull_request', pullRequest());
    const known = farmWith(job('lint', { trust: 'all' })).github('pull_request', pullRequest(member));
    assert.deepEqual([stranger.creates[0]?.trusted, known.creates[0]?.trusted], [false, true]);
    assert.deepEqual(stranger.changes, []);
  });

  test('what waits is remembered with the delivery', () => {
    const verdict = farmWith(job('unit')).github('pull_request', pullRequest({ author: 'mallory' }));
    assert.match(verdict.reason, /^waiting for ok-to-test: 'mallory' is not a member/);
    assert.deepEqual(verdict.changes, [
      { type: 'pull', key, pull: { allowed: false, waiting: { source: 'github', id: 'd1', seq: 1 } } },
    ]);
  });

  test('where some jobs trust everybody, they run and the others wait', () => {
    const world = farmWith(job('unit'), job('lint', { trust: 'all' }));
    const verdict = world.github('pull_request', pullRequest());
    assert.equal(verdict.decision, 'runs');
    assert.deepEqual(ran(verdict), ['lint']);
    assert.match(verdict.reason, /1 of 2 presubmits .* runs; others waiting for ok-to-test/);
    assert.equal(world.farm.pulls.get(key)?.waiting?.id, 'd1');
  });

  test('a newer push takes the place of the one that waited', () => {
    const world = farmWith(job('unit'));
    world.github('pull_request', pullRequest({ sha: shaA }));
    world.github('pull_request', pullRequest({ action: 'synchronize', sha: shaB }));
    assert.deepEqual(world.farm.pulls.get(key), { allowed: false, waiting: { source: 'github', id: 'd2', seq: 2 } });
  });

  test('a newer push of which nothing waits makes the older wait no more', () => {
    const world = farmWith(job('unit', { branches: ['^master$'] }));
    world.github('pull_request', pullRequest());
    world.github('pull_request', pullRequest({ action: 'edited', base: 'docs', changes: { base: { ref: { from: 'master' } } } }));
    assert.equal(world.farm.pulls.has(key), false);
  });

  test('once allowed, later pushes run without secrets and stay allowed', () => {
    const world = farmWith(job('unit'));
    world.farm.pulls.set(key, { allowed: true });
    const verdict = world.github('pull_request', pullRequest({ action: 'synchronize' }));
    assert.equal(verdict.creates[0]?.trusted, false);
    assert.deepEqual(world.farm.pulls.get(key), { allowed: true });
  });

  test('an author who has become a member is trusted, and what was remembered is forgotten', () => {
    const world = farmWith(job('unit'));
    world.github('pull_request', pullRequest());
    const verdict = world.github('pull_request', pullRequest({ ...member, action: 'synchronize' }));
    assert.equal(verdict.creates[0]?.trusted, true);
    assert.equal(world.farm.pulls.size, 0);
  });

  test('a newer push cancels the open runs of the pull request and names its commit', () => {
    const world = farmWith(job('unit'), job('lint'));
    const first = world.github('pull_request', pullRequest({ ...member, sha: shaA }));
    world.ended(first.creates[0]?.id ?? '');
    const second = world.github('pull_request', pullRequest({ ...member, action: 'synchronize', sha: shaB }));
    assert.deepEqual(second.cancels, [
      { run: first.creates[1]?.id, by: 'github', reason: `a newer push: ${shaB}`, force: false },
    ]);
    assert.deepEqual(ran(second), ['unit', 'lint']);
  });

  test('runs that are being cancelled are not cancelled again', () => {
    const world = farmWith(job('unit'));
    world.github('pull_request', pullRequest({ ...member, sha: shaA }));
    const second = world.github('pull_request', pullRequest({ ...member, action: 'synchronize', sha: shaB }));
    const third = world.github('pull_request', pullRequest({ ...member, action: 'synchronize', sha: shaC }));
    assert.deepEqual(
      third.cancels.map((c) => c.run),
      second.creates.map((c) => c.id),
    );
  });

  test('runs of other pull requests and of pushes go on', () => {
    const world = farmWith(job('unit'), postsubmit('build'));
    world.github('pull_request', pullRequest({ ...member, number: 3 }));
    world.github('push', example('push', 4));
    assert.deepEqual(world.github('pull_request', pullRequest({ ...member, action: 'synchronize' })).cancels, []);
  });

  test('a stranger’s newer push cancels what was running and waits itself', () => {
    const world = farmWith(job('lint', { trust: 'all' }));
    world.github('pull_request', pullRequest({ sha: shaA }));
    world.jobs = [job('lint')];
    const verdict = world.github('pull_request', pullRequest({ action: 'synchronize', sha: shaB }));
    assert.equal(verdict.decision, 'waiting');
    assert.equal(verdict.cancels.length, 1);
  });

  test('a newer push cancels even when its jobs have gone from the configuration', () => {
    const world = farmWith(job('unit'));
    world.github('pull_request', pullRequest({ ...member, sha: shaA }));
    world.jobs = [];
    const verdict = world.github('pull_request', pullRequest({ ...member, action: 'synchronize', sha: shaB }));
    assert.deepEqual([verdict.decision, verdict.cancels.length, verdict.creates.length], ['done', 1, 0]);
  });

  test('another base cancels the runs for the old one and says so', () => {
    const world = farmWith(job('unit'));
    world.github('pull_request', pullRequest({ ...member, sha: shaA }));
    const verdict = world.github(
      'pull_request',
      pullRequest({ ...member, sha: shaA, action: 'edited', base: 'next', changes: { base: { ref: { from: 'master' } } } }),
    );
    assert.equal(verdict.cancels[0]?.reason, `the base is next now, for ${shaA}`);
    assert.equal(verdict.creates[0]?.refs?.baseRef, 'next');
  });

  test('closing cancels what is open and forgets the pull request', () => {
    const world = farmWith(job('unit'), job('lint', { trust: 'all' }));
    world.github('pull_request', pullRequest());
    const verdict = world.github('pull_request', pullRequest({ action: 'closed' }));
    assert.equal(verdict.decision, 'done');
    assert.deepEqual(
      verdict.cancels.map((c) => c.reason),
      ['#2 was closed'],
    );
    assert.equal(world.farm.pulls.size, 0);
  });

  test('closing what nobody tested does nothing', () => {
    const verdict = farmWith(job('unit')).github('pull_request', pullRequest({ action: 'closed' }));
    assert.deepEqual([verdict.decision, verdict.changes, verdict.cancels], ['nothing', [], []]);
  });

  test('a pull request that is opened again must be allowed again', () => {
    const world = farmWith(job('unit'));
    world.farm.pulls.set(key, { allowed: true });
    world.github('pull_request', pullRequest({ action: 'closed' }));
    assert.equal(world.github('pull_request', pullRequest({ action: 'reopened' })).decision, 'waiting');
  });

  test('long titles are cut, and branch names and links that are too long left out', () => {
    const payload = pullRequest(member);
    payload.pull_request.title = '😀'.repeat(1000);
    payload.pull_request.head.ref = 'x'.repeat(1025);
    payload.pull_request.html_url = 'x'.repeat(2049);
    const pull = farmWith(job('unit')).github('pull_request', payload).creates[0]?.refs?.pulls[0];
    assert.ok(pull?.title && pull.title.length <= 1024 && pull.title.isWellFormed() && pull.title.endsWith('…'));
    assert.deepEqual([pull.headRef, pull.link], [undefined, undefined]);
  });

  test('a deleted account is a ghost', () => {
    const payload = pullRequest(member);
    payload.pull_request.user = null;
    assert.equal(farmWith(job('unit')).github('pull_request', payload).creates[0]?.refs?.pulls[0]?.author, 'ghost');
  });

  const broken: [string, (payload: ReturnType<typeof pullRequest>) => void, RegExp][] = [
    ['without a head', (p) => delete p.pull_request.head, /pull_request must have required/],
    ['with a head that is no SHA', (p) => (p.pull_request.head.sha = '--upload-pack=x'), /pulls\.0\.sha must match/],
    ['with a base that is no SHA', (p) => (p.pull_request.base.sha = 'X'), /baseSha must match/],
    ['with a number that is none', (p) => (p.pull_request.number = -1), /number/],
    ['with an author of 300 letters', (p) => (p.pull_request.user.login = 'x'.repeat(300)), /author must not have more/],
    ['without a base branch', (p) => (p.pull_request.base.ref = ''), /baseRef must not have fewer/],
  ];
  for (const [name, spoil, why] of broken) {
    test(`a pull request ${name} is refused`, () => {
      const payload = pullRequest(member);
      spoil(payload);
      const verdict = farmWith(job('unit')).github('pull_request', payload);
      assert.equal(verdict.decision, 'refused');
      assert.match(verdict.reason, why);
    });
  }
});

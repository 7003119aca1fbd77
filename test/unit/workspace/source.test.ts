import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BadRefs, cloneUri, isRefName, sourceDir } from '../../../agent/workspace/source.ts';

const named = { org: 'org', repo: 'repo' };

test('the source stands under its organisation and repository, or where the job says', () => {
  assert.equal(sourceDir(named), 'src/org/repo');
  assert.equal(sourceDir({ ...named, pathAlias: 'k8s.io/test-infra' }), 'src/k8s.io/test-infra');
  assert.equal(sourceDir({ org: 'https://git.example.org/team', repo: 'app' }), 'src/git.example.org/team/app');
});

test('no name leads out of the workspace or into what git keeps for itself', () => {
  for (const pathAlias of [
    '../x',
    'a/../../x',
    '/etc',
    'a//b',
    '.',
    'a/.git/hooks',
    '.GIT',
    '',
    'a/',
    '-x',
    'a b',
    'a\nb',
    'a\0b',
  ])
    assert.throws(() => sourceDir({ ...named, pathAlias }), BadRefs, JSON.stringify(pathAlias));
  assert.throws(() => sourceDir({ org: '..', repo: 'x' }), BadRefs);
});

test('a repository is fetched from GitHub unless the job says otherwise', () => {
  const uri = (cloneUriText?: string) =>
    cloneUri({ ...named, ...(cloneUriText === undefined ? {} : { cloneUri: cloneUriText }) }, { allowFile: false });
  assert.equal(uri(), 'https://github.com/org/repo.git');
  for (const fine of [
    'https://git.example.org/x.git',
    'git@github.com:org/repo.git',
    'ssh://git@github.com/org/repo.git',
    'host:path',
  ])
    assert.equal(uri(fine), fine);
  for (const bad of [
    'ext::sh -c x',
    'ext::sh',
    'http://example.org/x',
    'git://example.org/x',
    'file:///etc',
    '/etc',
    './x',
    '--upload-pack=x',
    '-oProxyCommand=x:y',
    'ssh://-oProxyCommand=x/y',
    'host:-x',
    'https://user:secret@example.org/x',
    'https://token@example.org/x',
    'https://example.org/x\n',
  ])
    assert.throws(() => uri(bad), BadRefs, bad);
});

test('a repository of the agent’s own disk is fetched only when the operator allows it', () => {
  for (const own of ['/srv/repo.git', 'file:///srv/repo.git']) {
    assert.equal(cloneUri({ ...named, cloneUri: own }, { allowFile: true }), own);
    assert.throws(() => cloneUri({ ...named, cloneUri: own }, { allowFile: false }), /--allow-file-clone/);
  }
});

test('only what git takes for a name of a branch is one', () => {
  for (const name of ['main', 'release-1.0', 'feature/x', 'v1.0', 'a@b', 'ü']) assert.equal(isRefName(name), true, name);
  for (const name of [
    '-x',
    '+main',
    'a..b',
    'a b',
    'a:b',
    'a~1',
    'a^',
    'a?',
    'a*',
    'a[',
    'a\\b',
    '@',
    'a@{1}',
    '/a',
    'a/',
    'a//b',
    '.a',
    'a/.b',
    'a.lock',
    'a.',
    '',
  ])
    assert.equal(isRefName(name), false, name);
});

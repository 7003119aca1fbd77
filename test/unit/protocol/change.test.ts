import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { pullKey, Refs, repoOf } from '../../../protocol/change.ts';
import { pullRefs } from '../../support/runs.ts';

test('a repository is named org/repo', () => {
  assert.equal(repoOf({ org: 'kubernetes', repo: 'test-infra' }), 'kubernetes/test-infra');
});

test('only refs of exactly one pull request have its key', () => {
  const one = pullRefs('org/repo', 7);
  assert.equal(pullKey(one), 'org/repo#7');
  assert.equal(pullKey({ ...one, pulls: [] }), undefined, 'a push');
  assert.equal(pullKey({ ...one, pulls: [...one.pulls, ...pullRefs('org/repo', 8).pulls] }), undefined, 'a batch');
  assert.equal(pullKey(undefined), undefined);
});

test('refs hold full commit ids only', () => {
  const refs = pullRefs('org/repo', 7);
  assert.equal(Value.Check(Refs, refs), true);
  assert.equal(Value.Check(Refs, { ...refs, baseSha: 'a'.repeat(64) }), true, 'SHA-256 repositories');
  for (const baseSha of ['main', 'abc1234', 'A'.repeat(40), `${'a'.repeat(40)}\n`, '--upload-pack=x'])
    assert.equal(Value.Check(Refs, { ...refs, baseSha }), false, baseSha);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { versionAtLeast } from '../../../controller/store/nats-version.ts';

test('versions are compared by number', () => {
  assert.ok(versionAtLeast('2.10.27', '2.9.10'));
  assert.ok(versionAtLeast('2.9.10', '2.9.10'));
  assert.ok(versionAtLeast('3.0.0', '2.15.1'));
  assert.ok(versionAtLeast('2.12.0-RC.3', '2.12.0'));
  assert.ok(!versionAtLeast('2.9.9', '2.9.10'));
  assert.ok(!versionAtLeast('nonsense', '2.9.10'));
});

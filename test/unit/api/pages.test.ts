import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { testApi } from '../../support/api.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function builtPage() {
  const dir = await tempDir();
  await mkdir(join(dir.path, 'ui', 'assets'), { recursive: true });
  await writeFile(join(dir.path, 'ui', 'index.html'), '<!doctype html><title>page</title>');
  await writeFile(join(dir.path, 'ui', 'assets', 'index-abc.js'), 'export {}');
  await writeFile(join(dir.path, 'secret'), 'secret');
  return { dir, ...testApi({ uiDir: join(dir.path, 'ui') }) };
}

test('every address of the page gives the page, under a policy that allows nothing inline and nothing of others', async () => {
  const { app, dir } = await builtPage();
  for (const url of ['/', '/login', '/runs', '/runs/1', '/queues', '/agents', '/deliveries', '/deliveries/github/x']) {
    const { statusCode, headers, body } = await app.inject(url);
    assert.equal(statusCode, 200, url);
    assert.match(body, /<title>page/);
    const policy = String(headers['content-security-policy']);
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"])
      assert.ok(policy.includes(part), part);
    assert.ok(!policy.includes('unsafe'));
    assert.equal(headers['cache-control'], 'no-cache');
    assert.equal(headers['x-content-type-options'], 'nosniff');
  }
  await app.close();
  await dir[Symbol.asyncDispose]();
});

test('files whose names change with their content are kept by browsers; nothing beside them is given away', async () => {
  const { app, dir } = await builtPage();
  const { statusCode, headers } = await app.inject('/assets/index-abc.js');
  assert.equal(statusCode, 200);
  assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable');
  assert.match(String(headers['content-type']), /javascript/);
  for (const url of [
    '/assets/nothing.js',
    '/assets/..%2f..%2fsecret',
    '/assets/%2e%2e/%2e%2e/secret',
    '/secret',
    '/index.html',
    '/assets/',
  ]) {
    const answer = await app.inject(url);
    assert.ok([400, 404].includes(answer.statusCode), `${url}: ${answer.statusCode}`);
    assert.notEqual(answer.body, 'secret');
  }
  await app.close();
  await dir[Symbol.asyncDispose]();
});

test('where the page was not built, it says how to build it, and the API is there all the same', async () => {
  const { app } = testApi();
  const { statusCode, body } = await app.inject('/runs');
  assert.equal(statusCode, 503);
  assert.match(body, /npm run build/);
  assert.equal((await app.inject('/healthz')).statusCode, 200);
  await app.close();
});

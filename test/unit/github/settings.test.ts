import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { githubSettings } from '../../../controller/github/settings.ts';
import { appKey } from '../../support/github.ts';
import { tempDir } from '../../support/temp-dir.ts';

const files = async (dir: string) => {
  const at = { token: join(dir, 'token'), key: join(dir, 'key.pem'), empty: join(dir, 'empty'), text: join(dir, 'text') };
  await writeFile(at.token, 'ghp_abc\n');
  await writeFile(at.key, appKey());
  await writeFile(at.empty, '');
  await writeFile(at.text, 'not a key');
  return at;
};

test('a token, or an App with its key, on github.com or elsewhere, at the pace that GitHub publishes', async () => {
  await using dir = await tempDir();
  const at = await files(dir.path);
  assert.equal(await githubSettings({}, resolve), undefined);
  assert.deepEqual(await githubSettings({ githubTokenFile: at.token }, resolve), {
    api: 'https://api.github.com',
    auth: { tokenFile: at.token },
    limits: { gapMs: 1_000, writesPerMinute: 80, writesPerHour: 500, pointsPerMinute: 900 },
  });
  const app = {
    githubAppId: '17',
    githubAppKeyFile: at.key,
    githubApi: 'https://ghe.example.org/api/v3',
    githubWritesPerHour: 0,
  };
  assert.partialDeepStrictEqual(await githubSettings(app, resolve), {
    api: 'https://ghe.example.org/api/v3',
    auth: { appId: '17', appKeyFile: at.key },
    limits: { writesPerHour: 0 },
  });
});

test('credentials that cannot work are told at the start, by the option that is wrong', async () => {
  await using dir = await tempDir();
  const at = await files(dir.path);
  const wrong: [Parameters<typeof githubSettings>[0], RegExp][] = [
    [{ githubTokenFile: at.token, githubAppId: '1' }, /exclude each other/],
    [{ githubAppId: '1' }, /--github-app-key-file go together/],
    [{ githubAppKeyFile: at.key }, /--github-app-id and/],
    [{ githubTokenFile: join(dir.path, 'none') }, /--github-token-file .*none: ENOENT/],
    [{ githubTokenFile: at.empty }, /--github-token-file .*empty: it does not hold one token/],
    [{ githubAppId: '1', githubAppKeyFile: at.text }, /--github-app-key-file .*text: not a private key/],
  ];
  for (const [options, message] of wrong)
    await assert.rejects(githubSettings(options, resolve), { code: 'BAD_SETTINGS', message });
});

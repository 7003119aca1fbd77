import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestBrowser } from '../support/browser.ts';
import { quickTimes, TestFarm } from '../support/farm.ts';
import { need } from '../support/need.ts';

test('a page whose controller is restarted says so and goes on where it was', {
  skip: need('nats-server', 'chromium'),
}, async () => {
  await using farm = await TestFarm.start({ jobs: { 'jobs.yaml': 'manual: []' }, times: quickTimes });
  const script = `print before\\nwait-file ${farm.dir}/go-on\\nprint after`;
  await writeFile(join(farm.jobsDir, 'jobs.yaml'), `manual:\n- name: job\n  steps: [{name: one, script: "${script}"}]\n`);
  for (const c of farm.controllers) await c.reloadJobs();
  farm.settings.listen.port = Number(new URL(farm.url).port);
  await farm.addAgent({ name: 'a1' });
  await using browser = await TestBrowser.start();
  const tab = await browser.open(farm.url);
  const id = await farm.run('job');
  const page = await tab.logIn(farm.adminToken, `/runs/${id}`);
  const log = page.getByRole('region', { name: 'Log of one' });
  await log.getByText('before').waitFor();

  await farm.controllers.pop()?.stop();
  const banner = page.getByText('The connection to the farm is lost');
  await banner.waitFor();
  await writeFile(join(farm.dir, 'go-on'), '');
  await farm.addController('c1');
  await log.getByText('after').waitFor();
  await page.locator('.head .state[data-state=passed]').first().waitFor();
  await banner.waitFor({ state: 'detached' });
  assert.deepEqual(await log.locator('.text').allTextContents(), ['before', 'after']);
  assert.deepEqual(tab.complaints, []);
  await tab.context.close();
});

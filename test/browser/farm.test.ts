import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TestBrowser } from '../support/browser.ts';
import { quickTimes, TestFarm } from '../support/farm.ts';
import { need } from '../support/need.ts';

const skip = need('nats-server', 'chromium');

const jobsIn = (dir: string) => `
manual:
- name: stuck
  steps:
  - {name: hang, script: "print hanging\\nwait-file ${dir}/never"}
- name: quick
  steps:
  - {name: only, script: "print done"}
`;

if (!skip) {
  let farm: TestFarm;
  let browser: TestBrowser;
  before(async () => {
    farm = await TestFarm.start({ jobs: { 'jobs.yaml': 'manual: []' }, times: quickTimes });
    await writeFile(join(farm.jobsDir, 'jobs.yaml'), jobsIn(farm.dir));
    for (const c of farm.controllers) await c.reloadJobs();
    await farm.addAgent({ name: 'a1' });
    browser = await TestBrowser.start();
  });
  after(async () => {
    await browser?.stop();
    await farm?.stop();
  });

  test('a queue shows how much waits in it, since when and why; it is paused and resumed there', async () => {
    const tab = await browser.open(farm.url);
    const page = await tab.logIn(farm.adminToken, '/queues');
    const row = page.locator('tr[data-queue=default]');
    await row.getByRole('button', { name: 'Pause' }).click();
    await page.getByLabel('Why, for whoever looks').fill('new disks');
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await row.locator('[data-state=paused]').waitFor();
    const id = await farm.run('quick');
    await row.getByText("queue 'default' is paused by admin: new disks").waitFor();
    assert.equal(await row.locator('[data-label=Waiting]').textContent(), '1');

    await row.getByRole('link', { name: 'only' }).click();
    await page.getByText("in queue default: queue 'default' is paused by admin: new disks").waitFor();
    await farm.api('POST', '/api/queues/default', { paused: false });
    await page.locator('.head .state[data-state=passed]').first().waitFor();
    assert.equal((await farm.getRun(id)).state, 'passed');
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });

  test('an agent is drained and serves again, and what it runs is told', async () => {
    const tab = await browser.open(farm.url);
    const id = await farm.run('stuck');
    const page = await tab.logIn(farm.adminToken, '/agents');
    const row = page.locator('tr[data-agent=a1]');
    await row.getByRole('link', { name: 'hang' }).waitFor();
    await row.getByRole('button', { name: 'Drain' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
    await row.locator('[data-state=draining]').waitFor();
    await row.getByRole('button', { name: 'Serve again' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Serve again' }).click();
    await row.locator('[data-state=serving]').waitFor();
    await farm.api('POST', `/api/runs/${id}/cancel`, { force: true });
    await row.getByText('nothing').waitFor();
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });

  test('every page says when the job configuration has problems, and that the last good one stays in force', async () => {
    const tab = await browser.open(farm.url);
    const page = await tab.logIn(farm.adminToken, '/queues');
    await page.locator('tr[data-queue=default]').waitFor();
    const file = join(farm.jobsDir, 'broken.yaml');
    await writeFile(file, 'manual:\n- name: broken\n  steps: nonsense\n');
    for (const c of farm.controllers) await c.reloadJobs();
    const banner = page.getByText('the last good version stays in force');
    await banner.click();
    await page.getByText('broken.yaml:').waitFor();
    await page.getByRole('link', { name: 'Agents' }).click();
    await banner.waitFor();
    await rm(file);
    for (const c of farm.controllers) await c.reloadJobs();
    await banner.waitFor({ state: 'detached' });
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });

  test('a delivery tells what it led to, and the answer of each rule', async () => {
    const tab = await browser.open(farm.url);
    const { delivery } = await farm.ended(await farm.run('quick'));
    const page = await tab.logIn(farm.adminToken, '/deliveries');
    await page.locator(`a[href="/deliveries/${delivery}"]`).click();
    await page.getByText("'quick' runs: 'admin' asked for it").waitFor();
    await page.getByRole('link', { name: 'quick' }).click();
    await page.getByRole('region', { name: 'Log of only' }).getByText('done').waitFor();
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });
}

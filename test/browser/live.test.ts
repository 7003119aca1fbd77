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
- name: slow
  steps:
  - {name: build, script: "print compiling\\nwait-file ${dir}/go-on\\nprint compiled"}
  - {name: test, needs: [build], script: "print testing"}
  finally:
  - {name: clean, script: "print swept"}
- name: stuck
  steps:
  - {name: hang, script: "print hanging\\nwait-file ${dir}/never"}
- name: quick
  steps:
  - {name: only, script: "print done"}
- name: bad
  steps:
  - {name: breaks, script: "print oh no\\nexit 3"}
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

  test('a log line appears on the page while the step is still running, and the rest as it is printed', async () => {
    const tab = await browser.open(farm.url);
    const id = await farm.run('slow');
    const page = await tab.logIn(farm.adminToken, `/runs/${id}`);
    const log = page.getByRole('region', { name: 'Log of build' });
    await log.getByText('compiling', { exact: true }).waitFor();
    const step = page.locator('.node[data-step=build]');
    assert.equal(await step.getAttribute('data-state'), 'running');
    assert.equal((await farm.getRun(id)).at[0]?.state, 'running');
    assert.equal(await log.getByText('compiled').count(), 0);

    await writeFile(join(farm.dir, 'go-on'), '');
    await page.locator('.node[data-step=build][data-state=passed]').waitFor();
    await page.locator('.node[data-step=clean][data-state=passed]').waitFor();
    await page.locator('.head .state[data-state=passed]').first().waitFor();
    await step.click();
    await log.getByText('compiled', { exact: true }).waitFor();
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });

  test('the list of runs shows a new run and its end without being loaded again, and only those that the filter wants', async () => {
    const tab = await browser.open(farm.url);
    const page = await tab.logIn(farm.adminToken, '/runs?job=quick');
    await page.getByText('No run is like that.').waitFor();
    const id = await farm.run('quick');
    const row = page.locator('tr', { has: page.locator(`a[href="/runs/${id}"]`) });
    await row.locator('[data-state=passed]').waitFor();
    const other = await farm.ended(await farm.run('bad'));
    const last = await farm.ended(await farm.run('quick'));
    await page.locator(`a[href="/runs/${last.id}"]`).waitFor();
    assert.equal(await page.locator(`a[href="/runs/${other.id}"]`).count(), 0);

    await page.getByRole('link', { name: 'Clear' }).click();
    await page.locator(`a[href="/runs/${other.id}"]`).waitFor();
    await page.getByLabel('State').selectOption('failed');
    await page.waitForURL('**/runs?state=failed');
    await row.waitFor({ state: 'detached' });
    await page.locator(`a[href="/runs/${other.id}"]`).waitFor();
    assert.deepEqual([...new Set(await page.locator('tbody .state').allTextContents())], ['failed']);
    await page.goBack();
    await row.waitFor();
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });

  test('the cancel button cancels the run, with the reason that was given', async () => {
    const tab = await browser.open(farm.url);
    const id = await farm.run('stuck');
    const page = await tab.logIn(farm.adminToken, `/runs/${id}`);
    await page.getByRole('region', { name: 'Log of hang' }).getByText('hanging').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByLabel('Why, for whoever looks').fill('it hangs');
    await page.getByRole('button', { name: 'Cancel the run' }).click();
    await page.locator('.head .state[data-state=cancelled]').first().waitFor();
    await page.getByText('Cancelled by admin: it hangs.').waitFor();
    assert.equal((await farm.getRun(id)).state, 'cancelled');

    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('link', { name: id }).waitFor();
    const next = page.url().split('/').at(-1)?.split('?')[0] ?? '';
    assert.equal((await farm.getRun(next)).retryOf, id);
    await farm.api('POST', `/api/runs/${next}/cancel`, { force: true });
    await farm.ended(next);
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
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

import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
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
- name: big
  steps:
  - {name: prints, script: "print-bytes 6000000 3\\nprint the last line"}
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

  test('of a log of sixty thousand lines the end is followed, few lines are drawn, and the whole can be downloaded', async () => {
    const tab = await browser.open(farm.url);
    const id = await farm.run('big');
    const page = await tab.logIn(farm.adminToken, `/runs/${id}`);
    const log = page.getByRole('region', { name: 'Log of prints' });
    await log.getByText('the last line').waitFor();
    await page.locator('[data-log=ended]').waitFor();
    assert.ok((await log.locator('.line').count()) < 200);
    await page.getByText('Earlier output is not shown here').waitFor();
    assert.equal(await log.locator('.line .number').last().textContent(), '60001');

    await log.hover();
    await page.mouse.wheel(0, -20_000);
    await log.getByText('the last line').waitFor({ state: 'detached' });
    await page.getByLabel('Search the log of prints').fill('THE LAST LINE');
    await page.getByText('1 of 1').waitFor();
    await page.keyboard.press('Enter');
    await log.locator('.current').getByText('the last line').waitFor();
    const whole = page.waitForEvent('download');
    await page.getByRole('link', { name: 'download the whole log' }).click();
    const { size } = await stat(await (await whole).path());
    assert.equal(size, 6_000_014);
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
}

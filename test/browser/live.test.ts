import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
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
}

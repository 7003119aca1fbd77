import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { TestBrowser } from '../support/browser.ts';
import { quickTimes, TestFarm } from '../support/farm.ts';
import { need } from '../support/need.ts';

const skip = need('nats-server', 'chromium');
const jobs = `
manual:
- name: many
  steps:
  - {name: build, script: "print \u001b[32mbuilt\u001b[0m \u001b[1;31mred\u001b[0m \u001b[33myellow \u001b[34mblue \u001b[35mmagenta \u001b[36mcyan \u001b[37mgrey \u001b[2mdim"}
  - {name: breaks, needs: [build], retries: 1, script: "print oh no\\nexit 1"}
  - {name: never, needs: [breaks], script: "print no"}
  finally:
  - {name: clean, script: "print swept"}
- name: waits
  steps:
  - {name: for-nobody, queue: gpu, script: "print x"}
`;

if (!skip) {
  let farm: TestFarm;
  let browser: TestBrowser;
  let axe: string;
  /** Addresses, and what stands there when the page is complete. */
  let pages: [path: string, shown: (page: Page) => Promise<void>][];

  before(async () => {
    axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    farm = await TestFarm.start({ jobs: { 'jobs.yaml': jobs.replaceAll('\u001b', '\\e') }, times: quickTimes });
    await farm.addAgent({ name: 'a1' });
    await farm.api('POST', '/api/queues/nowhere', { paused: true, reason: 'no machines' });
    await farm.run('waits');
    const many = await farm.ended(await farm.run('many'));
    browser = await TestBrowser.start();
    const see = (text: string) => (page: Page) => page.getByText(text).first().waitFor();
    pages = [
      ['/runs', see('many')],
      [`/runs/${many.id}?step=build`, see('built')],
      [`/runs/${many.id}?step=breaks&attempt=1`, see('oh no')],
      ['/queues', see('no machines')],
      ['/agents', see('a1')],
      ['/deliveries', see("'many' runs")],
      [`/deliveries/${many.delivery}`, see('Runs that it started')],
    ];
  });
  after(async () => {
    await browser?.stop();
    await farm?.stop();
  });

  for (const look of [{ dark: false }, { dark: true }, { dark: false, width: 360, height: 740 }])
    test(`every page can be used by everybody: ${look.dark ? 'dark' : 'light'}${look.width ? ', 360 pixels wide' : ''}`, async () => {
      const tab = await browser.open(farm.url, look);
      await tab.page.goto('/login');
      await tab.page.getByLabel('Admin token').waitFor();
      assert.deepEqual(await breaches(tab.page, axe), [], 'login');
      const page = await tab.logIn(farm.adminToken);
      for (const [path, shown] of pages) {
        await page.goto(path);
        await shown(page);
        // What axe looks at is the same however wide the window is.
        if (look.width === undefined) assert.deepEqual(await breaches(page, axe), [], path);
        const overflow = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
        assert.ok(Number(overflow) <= 0, `${path} is ${overflow} pixels wider than the window`);
      }
      await page.goto('/queues');
      await page.getByRole('button', { name: 'Pause' }).first().click();
      await page.getByRole('dialog').waitFor();
      assert.deepEqual(await breaches(page, axe), [], 'dialog');
      assert.deepEqual(tab.complaints, []);
      await tab.context.close();
    });
}

/** What axe has to say against a page. */
async function breaches(page: Page, axe: string): Promise<string[]> {
  await page.evaluate(axe);
  const { violations } = (await page.evaluate("axe.run({ resultTypes: ['violations'] })")) as AxeResults;
  return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 200)}: ${n.failureSummary}`));
}

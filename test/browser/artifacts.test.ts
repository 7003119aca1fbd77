import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { test } from 'node:test';
import { processExecutor } from '../../agent/executor/process.ts';
import { TestBrowser } from '../support/browser.ts';
import { quickTimes, TestFarm } from '../support/farm.ts';
import { need } from '../support/need.ts';

const jobs = `
manual:
- name: job
  steps:
  - name: unit
    script: |
      echo '<h1>report</h1><script>document.body.textContent = "it ran"; fetch("/api/runs")</script>' > "$ARTIFACTS/report.html"
      cat > "$ARTIFACTS/junit.xml" <<'X'
      <testsuite><testcase name="adds" classname="sums"/>
      <testcase name="rounds &lt;b&gt;up&lt;/b&gt;" classname="sums"><failure message="1 != 2">at line 7</failure></testcase></testsuite>
      X
      exit 1
`;

test('failed tests and artifacts are shown; an artifact that is a page of its own can do nothing', {
  skip: need('nats-server', 'chromium'),
}, async () => {
  await using farm = await TestFarm.start({ jobs: { 'jobs.yaml': jobs }, times: quickTimes });
  await chmod(farm.dir, 0o711);
  await farm.addAgent({ name: 'a1', executor: processExecutor() });
  await using browser = await TestBrowser.start();
  const tab = await browser.open(farm.url);
  const run = await farm.ended(await farm.run('job'));
  const page = await tab.logIn(farm.adminToken, `/runs/${run.id}`);
  await page.getByText('2 tests: 1 passed, 1 failed, 0 skipped').waitFor();
  const failure = page.getByRole('group').filter({ hasText: 'rounds <b>up</b>' });
  await failure.getByText('1 != 2').first().waitFor();
  await failure.locator('summary').click();
  await failure.getByText('at line 7').waitFor();

  const opened = tab.context.waitForEvent('page');
  await page.getByRole('link', { name: 'report.html' }).click();
  const artifact = await opened;
  await artifact.getByRole('heading', { name: 'report' }).waitFor();
  // Its script would have put other text in the place of everything.
  assert.equal(await artifact.getByRole('heading').count(), 1);
  assert.equal(await artifact.evaluate('self.origin'), 'null');
  assert.deepEqual(tab.complaints, []);
  await tab.context.close();
});

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { LoginLink } from '../../protocol/session.ts';
import { TestBrowser } from '../support/browser.ts';
import { quickTimes, TestFarm } from '../support/farm.ts';
import { need } from '../support/need.ts';

const skip = need('nats-server', 'chromium');
const evil = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';
const jobs = `
manual:
- name: says
  steps:
  - {name: loud, script: ${JSON.stringify(`print ${evil}\nprint \u001b]8;;javascript:window.pwned=1\u0007link\u001b[31m${evil}\nexit 1`)}}
`;

if (!skip) {
  let farm: TestFarm;
  let browser: TestBrowser;
  before(async () => {
    farm = await TestFarm.start({ jobs: { 'jobs.yaml': jobs }, times: quickTimes });
    await farm.addAgent({ name: 'a1' });
    browser = await TestBrowser.start();
  });
  after(async () => {
    await browser?.stop();
    await farm?.stop();
  });

  test('without a login every page is the login; a wrong token is refused, the right one shows the page that was asked for', async () => {
    const tab = await browser.open(farm.url);
    const { page } = tab;
    for (const path of ['/', '/runs', '/runs/1', '/queues', '/agents', '/deliveries', '/deliveries/github/1', '/login']) {
      await page.goto(path);
      await page.getByRole('heading', { name: 'Log in to Thresh' }).waitFor();
    }
    await page.goto('/queues');
    await page.getByLabel('Admin token').fill('x'.repeat(40));
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('alert').getByText('this is not the admin token').waitFor();
    await page.getByLabel('Admin token').fill(farm.adminToken);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('heading', { name: 'Queues' }).waitFor();

    const [cookie, ...others] = await tab.context.cookies();
    assert.deepEqual(others, []);
    assert.equal(cookie?.httpOnly, true);
    assert.equal(cookie?.sameSite, 'Strict');
    assert.ok(!cookie?.value.includes(farm.adminToken));
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });

  test('a login link logs in once, and its code does not stay in the address', async () => {
    const { code } = await farm.api<LoginLink>('POST', '/api/login-links');
    const first = await browser.open(farm.url);
    await first.page.goto(`/login#${code}`);
    await first.page.getByRole('heading', { name: 'Runs' }).waitFor();
    assert.ok(!first.page.url().includes(code));
    const second = await browser.open(farm.url);
    await second.page.goto(`/login#${code}`);
    await second.page.getByRole('alert').getByText('this login link was used before').waitFor();
    assert.deepEqual(await second.context.cookies(), []);
    await first.context.close();
    await second.context.close();
  });

  test('who logs out is out, and so is whoever has a copy of the cookie', async () => {
    const tab = await browser.open(farm.url);
    const page = await tab.logIn(farm.adminToken);
    const [cookie] = await tab.context.cookies();
    const asked = () =>
      fetch(`${farm.url}/api/farm`, { headers: { cookie: `${cookie?.name}=${cookie?.value}` } }).then(({ status }) => status);
    assert.equal(await asked(), 200);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('heading', { name: 'Log in to Thresh' }).waitFor();
    assert.deepEqual(await tab.context.cookies(), []);
    assert.equal(await asked(), 401);
    await tab.context.close();
  });

  test('a page of another origin can neither read nor start anything with the login of this one', async (t) => {
    const tab = await browser.open(farm.url);
    await tab.logIn(farm.adminToken);
    const before = (await farm.runs()).length;
    const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html><p>other'));
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
    t.after(() => {
      other.close();
      other.closeAllConnections();
    });
    const { port } = other.address() as AddressInfo;
    // A port of the same host counts as the same site: there the browser sends the cookie along. Another host is another site.
    for (const host of ['127.0.0.1', 'localhost']) {
      const page = await tab.context.newPage();
      await page.goto(`http://${host}:${port}/`);
      const tried = await page.evaluate(`(${attack})(${JSON.stringify(farm.url)})`);
      assert.deepEqual(tried, { read: 'refused', opaque: 'opaque', post: 'opaque', socket: 'refused', frame: 'refused' }, host);
      await page.close();
    }
    assert.equal((await farm.runs()).length, before);
    await tab.context.close();
  });

  test('markup in a log, a ref, a title and a reason is shown as it is written and does nothing', async () => {
    const tab = await browser.open(farm.url);
    const loud = await farm.ended(await farm.run('says'));
    const sha = 'a'.repeat(40);
    const refs = { org: 'acme', repo: evil, baseRef: evil, pulls: [{ number: 1, author: evil, sha, title: evil }] };
    const { runs } = await farm.api<{ runs: string[] }>('POST', '/api/runs', { job: 'says', refs });
    const [other = ''] = runs;
    const page = await tab.logIn(farm.adminToken, `/runs/${loud.id}`);
    const log = page.getByRole('region', { name: 'Log of loud' });
    await log.locator('.line').nth(0).getByText(evil, { exact: true }).waitFor();
    await log.getByText(`link${evil}`).waitFor();
    assert.equal(await log.locator('a, img, script').count(), 0);
    await farm.api('POST', `/api/runs/${other}/cancel`, { reason: evil }).catch(() => {});
    for (const path of [`/runs/${other}`, '/runs', '/deliveries', '/queues']) {
      await page.goto(path);
      await page.getByRole('heading', { level: 1 }).waitFor();
      if (!path.startsWith('/queues')) await page.getByText('<img src=x').first().waitFor();
      assert.equal(await page.locator('#page img, #page script').count(), 0);
    }
    assert.equal(await page.evaluate('window.pwned'), undefined);
    assert.deepEqual(tab.complaints, []);
    await tab.context.close();
  });
}

/** Runs in a page of another origin. */
const attack = `async (farm) => {
  const or = (promise, no) => promise.catch(() => no);
  const read = await or(fetch(farm + '/api/runs', { credentials: 'include' }).then((r) => r.text()), 'refused');
  const opaque = await or(fetch(farm + '/api/runs', { credentials: 'include', mode: 'no-cors' }).then((r) => r.type), 'refused');
  const body = JSON.stringify({ job: 'says' });
  const posts = [
    { method: 'POST', mode: 'no-cors', credentials: 'include', body },
    { method: 'POST', mode: 'no-cors', credentials: 'include', body, headers: { 'content-type': 'text/plain' } },
  ];
  let post = '';
  for (const init of posts) post = await or(fetch(farm + '/api/runs', init).then((r) => r.type), 'refused');
  await or(fetch(farm + '/api/runs', { method: 'POST', credentials: 'include', body, headers: { 'content-type': 'application/json' } }), 0);
  const socket = await new Promise((done) => {
    const s = new WebSocket(farm.replace('http', 'ws') + '/api/events');
    s.onopen = () => done('open');
    s.onerror = () => done('refused');
  });
  const frame = await new Promise((done) => {
    const f = document.createElement('iframe');
    f.src = farm + '/runs';
    f.onload = () => { try { done(f.contentDocument && f.contentDocument.body.childElementCount > 0 ? 'read' : 'refused'); } catch { done('refused'); } };
    document.body.append(f);
  });
  return { read, opaque, post, socket, frame };
}`;

import { test } from 'node:test';
import { join } from 'node:path';
import { quickTimes } from '/work/main/test/support/farm.ts';
import { ProcessFarm } from '/work/main/test/support/processes.ts';
const N = Number(process.env.N ?? 500);
test('bench', async (t) => {
  await using farm = await ProcessFarm.start({ jobs: {}, times: process.env.QUICK ? quickTimes : {} });
  const w = join(farm.dir, 'witness');
  await farm.putJobs({ 'jobs.yaml': `
postsubmits:
  acme/app:
  - name: one
    steps: [{name: sign, script: "append ${w} @attempt"}]
  - name: two
    steps: [{name: sign, script: "append ${w} @attempt"}]
` });
  const c = await farm.startController('c1');
  await farm.leader();
  const agents = [];
  for (const name of ['a1', 'a2', 'a3']) agents.push(await farm.startAgent({ name, slots: 40 }));
  const t0 = performance.now();
  const todo = Array.from({ length: N }, (_, i) => i);
  await Promise.all(Array.from({ length: 32 }, async () => {
    for (let i = todo.shift(); i !== undefined; i = todo.shift())
      await farm.hook('push', { ref: 'refs/heads/main', after: (i + 1).toString(16).padStart(40, '0'), repository: { name: 'app', full_name: 'acme/app', owner: { login: 'acme' } }, commits: [], sender: { login: 'anna' } }, { id: `push-${i}` });
  }));
  t.diagnostic(`accepted ${((performance.now() - t0) / 1000).toFixed(2)}`);
  await farm.until('idle', async () => (await farm.openRuns()) === 0, 100_000);
  t.diagnostic(`done ${((performance.now() - t0) / 1000).toFixed(2)}`);
  t.diagnostic((await import('node:child_process')).execSync(`ps -o pid,cputimes,time,args -p ${[c, ...agents].map((x) => x.pid).join(',')} | cut -c1-120; ps -C nats-server -o pid,time,args|tail -3`).toString());
  for (const a of agents) await a.kill('SIGTERM');
  await c.kill('SIGINT').catch(() => {});
});

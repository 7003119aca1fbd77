/*
 * npm run bench [first-step] [no-op-runs] [one-log]
 *
 * What the farm does in a second, each figure beside what the machine itself allows, measured in the same run. Controller and agent are
 * processes of their own, as in earnest; nats-server too.
 */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';
import type { Figure } from './figures.ts';
import { table } from './figures.ts';
import { firstStep } from './first-step.ts';
import { noOpRuns } from './no-op-runs.ts';
import { oneLog } from './one-log.ts';

const benches: Record<string, () => Promise<Figure[]>> = {
  'first-step': () => firstStep(100),
  'no-op-runs': () => noOpRuns(3_000),
  'one-log': () => oneLog(100),
};
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !benches[name]);
if (unknown !== undefined) throw new Error(`there is no bench '${unknown}'; there are ${Object.keys(benches).join(', ')}`);

const version = execFileSync('nats-server', ['--version'], { encoding: 'utf8' }).trim();
const [cpu] = cpus();
process.stdout.write(
  `${cpus().length} x ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GiB; Node ${process.version}; ${version}\n`,
);
for (const [name, bench] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const busy = loadavg()[0] ?? 0;
  if (busy > cpus().length / 2)
    process.stdout.write(`the machine is busy (load ${busy.toFixed(1)}): only the ratios mean something\n`);
  process.stdout.write(`\n${table(await bench())}\n`);
}
process.exit();

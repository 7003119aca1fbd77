import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastAttempt, stepOf } from '../../protocol/run.ts';
import { TestFarm } from '../support/farm.ts';
import { need } from '../support/need.ts';
import { until } from '../support/processes.ts';
import { buildXstate, forward, hostAddressOf, startNfsServer, startVm, type Vm } from '../support/vm.ts';

const skip =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'needs root on Linux'
    : need('linux.uml', 'ganesha.nfsd', 'mount.nfs4', 'modprobe', 'ip', 'iptables', 'cc', 'nats-server');

/** `beacons` is a directory of this machine, which a machine that is cut off still sees: what is new in it tells that the step is alive. */
const jobs = (beacons: string) => `
manual:
- name: long
  workspace: shared
  steps:
  - name: write
    script: |
      (n=0; while :; do n=$((n + 1)); : > ${beacons}/$THRESH_ATTEMPT.$n; sleep 0.1; done) &
      for i in $(seq 120); do
        echo "$THRESH_ATTEMPT $i" >> $THRESH_OUTPUTS/lines
        echo "$THRESH_ATTEMPT $i" >> $ARTIFACTS/lines
        echo "line $i of $THRESH_ATTEMPT"
        sleep 0.1
      done
      kill $!
  - name: read
    needs: [write]
    script: "cat $THRESH_OUTPUTS/lines"
`;

const times = { silentMs: 4_000, leaseMs: 8_000 };

describe('two machines on one NFS export', { skip, timeout: 110_000 }, () => {
  let dir: string;
  let nfs: Awaited<ReturnType<typeof startNfsServer>>;
  let farm: TestFarm;
  const vms: Vm[] = [];
  const closing: (() => void)[] = [];

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'thresh-vm-'));
    await chmod(dir, 0o755);
    for (const name of ['export', 'beacons']) await mkdir(join(dir, name));
    await chmod(join(dir, 'beacons'), 0o777);
    nfs = await startNfsServer(dir, join(dir, 'export'));
    farm = await TestFarm.start({ jobs: { 'jobs.yaml': jobs(join(dir, 'beacons')) }, times, controllers: 0 });
    farm.settings.hosts.push(hostAddressOf(1), hostAddressOf(2));
    const controller = await farm.addController('c1');
    const ports = [controller.url, farm.nats.url].map((url) => Number(new URL(url).port));
    const token = join(dir, 'token');
    await writeFile(token, farm.joinToken());
    const xstate = await buildXstate(dir);
    for (const number of [1, 2]) {
      const host = hostAddressOf(number);
      const agent = [process.execPath, join(import.meta.dirname, '../../agent/main.ts')];
      const options = `--name vm${number} --token-file ${token} --url http://${host}:${ports[0]} --data /mnt/agent --slots 1`;
      const script = `${agent.join(' ')} ${options} --executor process --lease-ms ${times.leaseMs} --shared nfs://${host}:${nfs.port}/farm`;
      const vm = await startVm({ number, memory: '512M', dir, script, xstate });
      vms.push(vm);
      for (const port of ports) {
        const server = await forward(host, port);
        closing.push(() => server.close());
      }
    }
    await Promise.all(vms.map((vm) => vm.said(/joined the farm/, 60_000)));
  });

  after(async () => {
    for (const vm of vms) await vm.stop();
    for (const close of closing) close();
    await farm?.stop();
    await nfs?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const beats = async (attempt: string) =>
    (await readdir(join(dir, 'beacons'))).filter((name) => name.startsWith(`${attempt}.`)).length;
  const linesOf = async (run: string, attempt: string) => {
    const file = join(dir, 'export', `${run}.1`, 'workspace', 'outputs', 'lines');
    return (await readFile(file, 'utf8').catch(() => '')).split('\n').filter((l) => l.startsWith(`${attempt} `)).length;
  };

  test('an attempt whose machine was cut off is killed when it comes back, and writes nothing more into the result', async () => {
    const id = await farm.run('long');
    const [first, second] = [`${id}.write.1`, `${id}.write.2`];
    await until('the step is at work', async () => (await linesOf(id, first)) > 5, 30_000);
    const agent = lastAttempt(stepOf(await farm.getRun(id), 'write'))?.agent;
    await until('its beacon is seen', async () => (await beats(first)) > 5, 10_000);
    const vm = vms[agent === 'vm1' ? 0 : 1];
    assert.ok(vm);
    await vm.cutOff();
    await sleep(1_500);
    const written = await linesOf(id, first);

    await until('the other machine is at work', async () => (await linesOf(id, second)) > 5, 40_000);
    assert.notEqual(lastAttempt(stepOf(await farm.getRun(id), 'write'))?.agent, agent);
    await vm.said(/holding a step still/, 1_000);
    await vm.mend();
    const backMs = performance.now();
    await vm.said(/killing a step: attempt 2 of the step is at work|given to another agent; it is killed here/, 30_000);
    const killedMs = performance.now();
    await until('it is dead', async () => {
      const before = await beats(first);
      await sleep(400);
      return before === (await beats(first));
    });
    const run = await farm.ended(id, 60_000);
    assert.equal(run.state, 'passed');
    assert.deepEqual(
      stepOf(run, 'write')?.attempts.map((a) => a.state),
      ['lost', 'passed'],
    );
    const read = (await farm.logOf(id, 'read')).split('\n');
    assert.equal(read.filter((l) => l.startsWith(`${second} `)).length, 120);
    assert.equal(read.filter((l) => l.startsWith(`${first} `)).length, written);
    assert.ok(killedMs - backMs < 2_000, `killed ${Math.round(killedMs - backMs)} ms after the machine was back`);
  });
});

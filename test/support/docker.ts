import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import Docker from 'dockerode';
import { type DockerOptions, dockerExecutor } from '../../agent/executor/docker.ts';
import { fenceOf, takeDownFence } from '../../agent/executor/docker-fence.ts';
import type { Executor } from '../../agent/executor/executor.ts';
import { need } from './need.ts';

const run = promisify(execFile);

/** Why tests with containers must be skipped; false: they run. */
export const needDocker = (): string | false => {
  const missing = need('dockerd', 'busybox');
  if (missing || process.env.CI === 'true') return missing;
  return process.getuid?.() === 0 ? false : 'needs root: it starts a Docker Engine of its own';
};

/** The image that the engine has: busybox, and a user 'build' (1234). No registry is asked. */
export const testImage = 'thresh-test:1';

/**
 * A Docker Engine of a test's own: nothing of it touches another one, nor the machine's firewall, and all of it is in one directory.
 * It has no bridge; networks that are made take their addresses from 10.213/16.
 */
export class TestDocker {
  readonly dir: string;
  readonly socketPath: string;
  readonly engine: Docker;
  #daemon: ChildProcess | undefined;

  private constructor(dir: string) {
    this.dir = dir;
    this.socketPath = join(dir, 'docker.sock');
    this.engine = new Docker({ socketPath: this.socketPath });
  }

  static async start(): Promise<TestDocker> {
    const docker = new TestDocker(await realpath(await mkdtemp(join(tmpdir(), 'thresh-docker-'))));
    try {
      await docker.startDaemon();
      await docker.#importImage();
    } catch (error) {
      await docker.stop();
      throw error;
    }
    return docker;
  }

  /** @param live containers survive the end of the engine */
  async startDaemon({ live = false } = {}): Promise<void> {
    const { dir } = this;
    const log = createWriteStream(join(dir, 'dockerd.log'), { flags: 'a' });
    const name = dir.split('-').at(-1);
    const args = [
      ...['--data-root', join(dir, 'data'), '--exec-root', join(dir, 'exec'), '--pidfile', join(dir, 'docker.pid')],
      ...['--host', `unix://${this.socketPath}`, '--bridge', 'none', '--iptables=false', '--ip6tables=false'],
      ...['--containerd-namespace', `thresh-${name}`, '--containerd-plugins-namespace', `thresh-plugins-${name}`],
      ...['--default-address-pool', 'base=10.213.0.0/16,size=26', '--shutdown-timeout', '1'],
      ...(live ? ['--live-restore'] : []),
    ];
    // A group of its own: its containerd is stopped with it.
    const daemon = spawn('dockerd', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    });
    daemon.stdout.pipe(log);
    daemon.stderr.pipe(log);
    this.#daemon = daemon;
    daemon.once('error', () => {});
    for (const until = performance.now() + 20_000; !(await this.#answers()); await sleep(50))
      if (daemon.exitCode !== null || daemon.pid === undefined || performance.now() > until)
        throw new Error(
          `dockerd did not start:\n${(await readFile(join(dir, 'dockerd.log'), 'utf8').catch(() => '')).slice(-3_000)}`,
        );
  }

  #answers(): Promise<boolean> {
    return this.engine.ping().then(
      () => true,
      () => false,
    );
  }

  async #importImage(): Promise<void> {
    const root = join(this.dir, 'root');
    for (const dir of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root']) await mkdir(join(root, dir), { recursive: true });
    await copyFile(['/bin/busybox', '/usr/bin/busybox'].find((f) => existsSync(f)) ?? 'busybox', join(root, 'bin', 'busybox'));
    for (const name of (await run(join(root, 'bin', 'busybox'), ['--list'])).stdout.trim().split('\n'))
      if (name !== 'busybox') await symlink('busybox', join(root, 'bin', name));
    await writeFile(join(root, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/sh\nbuild:x:1234:1235::/tmp:/bin/sh\n');
    await run('chmod', ['-R', 'a+rX', root]);
    await run('tar', ['-C', root, '-cf', join(this.dir, 'root.tar'), '.']);
    const [repo, tag] = testImage.split(':') as [string, string];
    const done = await this.engine.importImage(join(this.dir, 'root.tar'), { repo, tag });
    for await (const _ of done) {
      // to its end: then it is there
    }
  }

  /** An executor on this engine, as an agent of its own unless `owner` says which. */
  executor(change: Partial<DockerOptions> = {}): Executor {
    const owner = change.owner ?? newOwner();
    const options = { owner, agent: `test-${owner}`, defaultImage: testImage, socketPath: this.socketPath, ...change };
    return dockerExecutor(options);
  }

  /** As a system's service manager stops it: its containers go with it, unless it was started `live`. */
  async stopDaemon(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon?.pid === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    daemon.kill('SIGTERM');
    const tooLong = setTimeout(() => killGroup(daemon), 5_000);
    await once(daemon, 'exit');
    clearTimeout(tooLong);
    killGroup(daemon);
  }

  async stop(): Promise<void> {
    for (const { Id } of await this.engine.listContainers({ all: true }).catch(() => []))
      await this.engine
        .getContainer(Id)
        .remove({ force: true })
        .catch(() => {});
    for (const { Id, Name, Labels } of await this.engine.listNetworks().catch(() => [])) {
      const owner = Labels?.['thresh.owner'];
      if (owner) await takeDownFence(fenceOf(owner));
      if (!['none', 'host', 'bridge'].includes(Name))
        await this.engine
          .getNetwork(Id)
          .remove()
          .catch(() => {});
    }
    await this.stopDaemon();
    // What an engine that had to be killed has left mounted.
    const mounts = (await readFile('/proc/mounts', 'utf8').catch(() => '')).split('\n').map((line) => line.split(' ')[1] ?? '');
    for (const at of mounts.filter((path) => path.startsWith(`${this.dir}/`)).reverse())
      await run('umount', ['-l', at]).catch(() => {});
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

export const newOwner = (): string =>
  Math.floor(Math.random() * 2 ** 47)
    .toString(16)
    .padStart(12, '0');

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // gone
  }
}

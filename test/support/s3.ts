import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import type { S3Settings } from '../../controller/store/s3-objects.ts';

const run = promisify(execFile);

export type TestS3 = AsyncDisposable & {
  /** Makes a bucket of its own. */
  bucket: () => Promise<S3Settings & Required<Pick<S3Settings, 'endpoint' | 'credentials'>>>;
};

/**
 * A real S3 server: Ceph's object gateway on a cluster of one monitor and one disk in memory, all on loopback, as Debian packages
 * them (ceph-mon, ceph-osd, radosgw, ceph-common). It is up in about 15 s: start one for a whole test file.
 */
export async function startTestS3(): Promise<TestS3> {
  // Somebody else may take a port between the moment it was found free and the moment Ceph takes it; then it never answers.
  for (const readyMs of [35_000, 45_000]) {
    const started = await startOnce(readyMs).catch(() => undefined);
    if (started) return started;
  }
  return startOnce(60_000);
}

async function startOnce(readyMs: number): Promise<TestS3> {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-s3-'));
  const children: ChildProcess[] = [];
  const env = { ...process.env, CEPH_CONF: join(dir, 'ceph.conf') };
  const tool = (program: string, ...args: string[]) => run(program, args, { env, timeout: 30_000 });
  const serve = (program: string, ...args: string[]) => {
    const child = spawn(program, ['-f', ...args], { env, stdio: 'ignore' });
    children.push(child);
    return child;
  };
  const stop = async () => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const [mon, rgw] = await freePorts(2);
    for (const name of ['mon', 'osd', 'run', 'log']) await mkdir(join(dir, name));
    const fsid = randomUUID();
    await writeFile(env.CEPH_CONF, configuration(dir, fsid, mon ?? 0));
    const map = join(dir, 'monmap');
    await tool('monmaptool', '--create', '--addv', 'a', `[v1:127.0.0.1:${mon}]`, '--fsid', fsid, map);
    await tool('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map);
    serve('ceph-mon', '-i', 'a');
    const osd = (await tool('ceph', 'osd', 'create')).stdout.trim();
    await tool('ceph-osd', '-i', osd, '--mkfs');
    serve('ceph-osd', '-i', osd);
    const gateway = serve('radosgw', '-n', 'client.rgw', `--rgw_frontends=beast endpoint=127.0.0.1:${rgw}`);
    const endpoint = `http://127.0.0.1:${rgw}`;
    await answers(endpoint, gateway, readyMs);
    const credentials = { accessKeyId: randomBytes(8).toString('hex'), secretAccessKey: randomBytes(16).toString('hex') };
    const { accessKeyId, secretAccessKey } = credentials;
    const user = ['--uid=farm', '--display-name=farm', `--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`];
    await tool('radosgw-admin', 'user', 'create', ...user);
    const settings = { endpoint, region: 'us-east-1', pathStyle: true, credentials };
    const client = new S3Client({ ...settings, forcePathStyle: true });
    return {
      bucket: async () => {
        const bucket = `b-${randomBytes(6).toString('hex')}`;
        await client.send(new CreateBucketCommand({ Bucket: bucket }));
        return { ...settings, bucket, prefix: '' };
      },
      [Symbol.asyncDispose]: async () => {
        client.destroy();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One disk, one copy, no passwords between the parts: they listen on loopback and live as long as the test. */
const configuration = (dir: string, fsid: string, monPort: number): string => `[global]
fsid = ${fsid}
mon_host = v1:127.0.0.1:${monPort}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr2 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
mon_data = ${dir}/mon
osd_data = ${dir}/osd
run_dir = ${dir}/run
admin_socket = ${dir}/run/$name.$pid.asok
log_file = ${dir}/log/$name.log
`;

/** Ports that nobody listened on a moment ago: Ceph cannot be asked which one it took. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
        }),
    ),
  );
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}

async function answers(url: string, server: ChildProcess, readyMs: number): Promise<void> {
  for (const deadline = performance.now() + readyMs; performance.now() < deadline; await sleep(100)) {
    if (server.exitCode !== null) throw new Error(`radosgw ended with code ${server.exitCode}`);
    const ok = await fetch(url).then(
      async (r) => {
        await r.arrayBuffer();
        return r.ok;
      },
      () => false,
    );
    if (ok) return;
  }
  throw new Error(`radosgw did not answer within ${readyMs / 1000} s`);
}

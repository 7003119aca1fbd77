import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What some tests need of the machine, and how to come by it. */
const components = {
  'nats-server': 'sudo apt-get install nats-server',
  git: 'sudo apt-get install git',
  dockerd: 'sudo apt-get install docker.io',
  busybox: 'sudo apt-get install busybox-static',
  'linux.uml': 'sudo apt-get install user-mode-linux',
  'ganesha.nfsd': 'sudo apt-get install nfs-ganesha nfs-ganesha-vfs',
  'mount.nfs4': 'sudo apt-get install nfs-common',
  ip: 'sudo apt-get install iproute2',
  modprobe: 'sudo apt-get install kmod',
  iptables: 'sudo apt-get install iptables',
  cc: 'sudo apt-get install gcc libc6-dev',
  chromium: 'sudo apt-get install chromium',
  unshare: 'sudo apt-get install util-linux',
  'systemd-analyze': 'sudo apt-get install systemd',
  'ceph-mon': 'sudo apt-get install ceph-mon ceph-common',
  'ceph-osd': 'sudo apt-get install ceph-osd',
  radosgw: 'sudo apt-get install radosgw',
  'radosgw-admin': 'sudo apt-get install radosgw',
} as const;
export type Component = keyof typeof components;

/**
 * For the options of a test: `test('…', { skip: need('nats-server') }, …)`.
 * @returns why the test must be skipped; false when all are there, and in CI always: there a test that lacks something has to fail
 */
export function need(...wanted: Component[]): string | false {
  if (process.env.CI === 'true') return false;
  const missing = wanted.filter((name) => findOnPath(name) === undefined);
  return missing.length > 0 && missing.map((name) => `needs ${name} (${components[name]})`).join('; ');
}

/** Where a program is; undefined: nowhere. */
export function findOnPath(name: string): string | undefined {
  // Debian keeps daemons where only root looks.
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'];
  return dirs
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, name))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

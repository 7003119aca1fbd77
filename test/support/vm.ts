import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { until } from './processes.ts';

/** A real NFSv4 server (nfs-ganesha) on all addresses of this machine. Owners are told by number: names are looked up by a machine's DNS, which there is none. */
export async function startNfsServer(dir: string, exported: string): Promise<{ port: number; stop: () => Promise<void> }> {
  const port = await freePort();
  const at = { conf: join(dir, 'ganesha.conf'), log: join(dir, 'ganesha.log'), pid: join(dir, 'ganesha.pid') };
  await writeFile(
    at.conf,
    `NFS_CORE_PARAM { Protocols = 4; NFS_Port = ${port}; Enable_NLM = false; Enable_RQUOTA = false; }
NFSV4 { Graceless = true; Lease_Lifetime = 10; Only_Numeric_Owners = true; RecoveryRoot = ${dir}; }
EXPORT { Export_Id = 1; Path = ${exported}; Pseudo = /farm; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
         Protocols = 4; Transports = TCP; FSAL { Name = VFS; } CLIENT { Clients = *; PrivilegedPort = false; } }
LOG { Default_Log_Level = EVENT; }
`,
  );
  const server = spawn('ganesha.nfsd', ['-F', '-f', at.conf, '-L', at.log, '-p', at.pid], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  // It must not be asked before: a connection that comes while it starts is the last that it takes.
  const isUp = async () => (await readFile(at.log, 'utf8').catch(() => '')).includes('NFS SERVER INITIALIZED');
  await until('nfs-ganesha is up', isUp, 30_000);
  return {
    port,
    stop: async () => {
      server.kill('SIGKILL');
      await ended;
    },
  };
}

/** The system gives no port twice in a row, so another test is not likely to take it in between. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A Linux machine with a kernel and a network of its own, that sees the files of this one. */
export type Vm = {
  /** This machine as the other sees it. */
  hostAddress: string;
  lines: string[];
  /** Resolves with the first line that matches, among those that came already and those to come. */
  said: (pattern: RegExp, withinMs: number) => Promise<string>;
  /** Nothing passes in either direction any more, without anybody being told. */
  cutOff: () => Promise<void>;
  mend: () => Promise<void>;
  stop: () => Promise<void>;
};

export type VmOptions = {
  /** Distinguishes it from others of this test: its address. */
  number: number;
  memory: string;
  /** For what the machine needs; made before. */
  dir: string;
  /** Lines for a shell, run as root in the machine, with the network up. */
  script: string;
  xstate: string;
};

/** Compiles what User-Mode Linux needs on newer processors. @returns the file to preload */
export async function buildXstate(dir: string): Promise<string> {
  const file = join(dir, 'uml-xstate.so');
  await execa('cc', ['-shared', '-fPIC', '-O1', '-o', file, join(import.meta.dirname, 'uml-xstate.c')]);
  return file;
}

const net = 100 + (process.pid % 100);
/** This machine, as machine `number` sees it. */
export const hostAddressOf = (number: number): string => `10.${net}.${number}.1`;

export async function startVm({ number, memory, dir, script, xstate }: VmOptions): Promise<Vm> {
  const tap = `thresh${process.pid % 10_000}.${number}`;
  const [hostAddress, guest] = [hostAddressOf(number), `10.${net}.${number}.2`];
  await execa('ip', ['tuntap', 'add', 'dev', tap, 'mode', 'tap']);
  await execa('ip', ['addr', 'add', `${hostAddress}/24`, 'dev', tap]);
  await execa('ip', ['link', 'set', tap, 'up']);
  const boot = join(dir, `boot-${number}`);
  await writeFile(boot, bootScript(guest, hostAddress, `vm${number}`, script));
  await chmod(boot, 0o755);
  await mkdir(join(dir, `uml-${number}`), { recursive: true });
  const machine = spawn(
    'linux.uml',
    [
      `mem=${memory}`,
      'root=/dev/root',
      'rootfstype=hostfs',
      'hostfs=/',
      'rw',
      `vec0:transport=tap,ifname=${tap},depth=128`,
      `init=${boot}`,
      'con=null',
      'con0=null,fd:1',
      'quiet',
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { PATH: process.env.PATH, HOME: join(dir, `uml-${number}`), TMPDIR: dir, LD_PRELOAD: xstate },
    },
  );
  const lines: string[] = [];
  const hearers = new Set<() => void>();
  for (const stream of [machine.stdout, machine.stderr])
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      if (process.env.THRESH_TEST_LOG) process.stderr.write(`vm${number}: ${line}\n`);
      for (const hear of hearers) hear();
    });
  const ended = new Promise<void>((resolve) => machine.once('exit', () => resolve()));
  const rules = [
    ['INPUT', '-i', tap, '-j', 'DROP'],
    ['OUTPUT', '-o', tap, '-j', 'DROP'],
  ];
  const mend = async () => {
    for (const rule of rules) await execa('iptables', ['-D', ...rule], { reject: false });
  };
  return {
    hostAddress,
    lines,
    said: (pattern, withinMs) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const line = lines.find((l) => pattern.test(l));
          if (line === undefined) return;
          done();
          resolve(line);
        };
        const done = () => {
          clearTimeout(timer);
          hearers.delete(look);
        };
        const fail = (why: string) => {
          done();
          reject(new Error(`vm${number} ${why}, and did not say ${pattern}; it said:\n${lines.slice(-40).join('\n')}`));
        };
        const timer = setTimeout(() => fail(`took ${withinMs} ms`), withinMs);
        void ended.then(() => fail('has ended'));
        hearers.add(look);
        look();
      }),
    cutOff: async () => {
      for (const rule of rules) await execa('iptables', ['-I', ...rule]);
    },
    mend,
    stop: async () => {
      killGroup(machine);
      await ended;
      await mend();
      await execa('ip', ['link', 'del', tap], { reject: false });
    },
  };
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid) process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

/** Process 1 of the machine. What it writes under /run, /tmp and /mnt stays in its memory. */
const bootScript = (guest: string, host: string, name: string, script: string) => `#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys
mount -t tmpfs run /run; mount -t tmpfs -o mode=755 mnt /mnt
mkdir -p /run/modules/lib/modules; ln -s /usr/lib/uml/modules/* /run/modules/lib/modules/
hostname ${name}
ip link set lo up; ip addr add ${guest}/24 dev vec0; ip link set vec0 up; ip route add default via ${host}
modprobe -d /run/modules nfsv4
${script}
halt -f -p
`;

/** Lets `address`:`port` lead to the same port of the loopback address. */
export function forward(address: string, port: number): Promise<Server> {
  const server = createServer((from) => {
    const to = connect(port, '127.0.0.1');
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const) {
      a.pipe(b);
      a.on('error', () => b.destroy());
      a.on('close', () => b.destroy());
    }
  });
  return new Promise((resolve) => server.listen(port, address, () => resolve(server)));
}

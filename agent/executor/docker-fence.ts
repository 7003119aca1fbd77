import { execFile } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { promisify } from 'node:util';
import { messageOf } from '../../protocol/errors.ts';

/** An address and port that steps must not reach. */
export type Closed = { address: string; port: number };

export type Fence = {
  /** The network interface of the steps' bridge; at most 15 characters. */
  bridge: string;
  /** For the names of its chains; at most 12 characters. */
  id: string;
};

/** Of an agent on an engine. */
export const fenceOf = (owner: string): Fence => ({ bridge: `thr-${owner.slice(0, 11)}`, id: owner.slice(0, 12) });

const chains = ({ id }: Fence) => ({ input: `THRESH-IN-${id}`, forward: `THRESH-OUT-${id}` });

/** Where clouds tell machines who they are, and give away their keys. DNS stays possible: some clouds have it on the same address. */
const metadata = ['169.254.0.0/16', '100.100.100.200/32', '168.63.129.16/32'];

/**
 * What a step may send, in the words of iptables-restore: nothing to the node itself (`input`), and what is to be passed on by the node
 * (`forward`) not to the cloud's metadata, nor to `closed`. Addresses are judged as the step wrote them, before they are translated.
 */
export function fenceRules(fence: Fence, closed: readonly Closed[]): string {
  const { input, forward } = chains(fence);
  const dns = (chain: string, to: string) => ['udp', 'tcp'].map((p) => `-A ${chain} -d ${to} -p ${p} --dport 53 -j RETURN`);
  return [
    '*filter',
    `:${input} - [0:0]`,
    `:${forward} - [0:0]`,
    ...dns(input, '169.254.0.0/16'),
    `-A ${input} -j REJECT`,
    ...metadata.flatMap((to) => [...dns(forward, to), `-A ${forward} -d ${to} -j REJECT`]),
    ...closed.map(
      ({ address, port }) => `-A ${forward} -p tcp -m conntrack --ctorigdst ${address} --ctorigdstport ${port} -j REJECT`,
    ),
    'COMMIT',
    '',
  ].join('\n');
}

/**
 * Puts the fence up, or back up: firewalls are reloaded. Takes a few milliseconds.
 * @returns why it cannot be put up; undefined when it stands
 */
export async function putUpFence(fence: Fence, closed: readonly Closed[]): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'the agent does not run as root';
  if (!existsSync(`/sys/class/net/${fence.bridge}`))
    return 'the Docker Engine is on another machine, or in a network namespace of its own';
  const { input, forward } = chains(fence);
  try {
    await iptables('iptables-restore', ['-w', '5', '--noflush'], fenceRules(fence, closed));
    // Docker looks there first, and leaves it alone. Without rules of Docker's own it is missing.
    const passing = (await worked(iptables('iptables', ['-w', '5', '-S', 'DOCKER-USER']))) ? 'DOCKER-USER' : 'FORWARD';
    for (const [from, to] of [
      ['INPUT', input],
      [passing, forward],
    ] as const) {
      const rule = [from, '-i', fence.bridge, '-j', to];
      if (!(await worked(iptables('iptables', ['-w', '5', '-C', ...rule]))))
        await iptables('iptables', ['-w', '5', '-I', ...rule]);
    }
    return undefined;
  } catch (error) {
    return `iptables: ${messageOf(error).replaceAll(/\s+/g, ' ').slice(0, 300)}`;
  }
}

/** For tests and for leaving: nothing of it stays. */
export async function takeDownFence(fence: Fence): Promise<void> {
  const { input, forward } = chains(fence);
  for (const [from, to] of [
    ['INPUT', input],
    ['DOCKER-USER', forward],
    ['FORWARD', forward],
  ] as const)
    while (await worked(iptables('iptables', ['-w', '5', '-D', from, '-i', fence.bridge, '-j', to])));
  for (const chain of [input, forward])
    for (const how of ['-F', '-X']) await worked(iptables('iptables', ['-w', '5', how, chain]));
}

const worked = (done: Promise<unknown>): Promise<boolean> =>
  done.then(
    () => true,
    () => false,
  );

async function iptables(program: string, args: string[], input?: string): Promise<void> {
  const running = promisify(execFile)(program, args, {
    env: { PATH: '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin' },
  });
  running.child.stdin?.on('error', () => {});
  running.child.stdin?.end(input ?? '');
  await running.catch((error: { stderr?: string }) => {
    throw new Error(error.stderr?.trim() || messageOf(error));
  });
}

const ports: Record<string, number> = { 'http:': 80, 'ws:': 80, 'https:': 443, 'wss:': 443, 'nats:': 4222, 'tls:': 4222 };

/** The IPv4 addresses of URLs as they are now; the steps' network has no others. */
export async function addressesOf(urls: readonly string[]): Promise<Closed[]> {
  const found = await Promise.all(
    urls.map(async (text): Promise<Closed[]> => {
      if (!URL.canParse(text)) return [];
      const url = new URL(text);
      const port = Number(url.port) || ports[url.protocol];
      if (!port) return [];
      if (isIPv4(url.hostname)) return [{ address: url.hostname, port }];
      const answers = await lookup(url.hostname, { family: 4, all: true }).catch(() => []);
      return answers.map(({ address }) => ({ address, port }));
    }),
  );
  return found.flat();
}

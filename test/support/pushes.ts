import { setTimeout as sleep } from 'node:timers/promises';
import type { FarmClient } from './farm-client.ts';

/** The payload of the `i`th push to main of acme/app. */
export const pushOf = (i: number) => ({
  ref: 'refs/heads/main',
  after: (i + 1).toString(16).padStart(40, '0'),
  repository: { name: 'app', full_name: 'acme/app', owner: { login: 'acme' } },
  commits: [],
  sender: { login: 'anna' },
});

/** Sends it as GitHub does, and again under the same id until it was answered with 202. @returns how often */
export async function deliver(farm: FarmClient, i: number, url?: string): Promise<number> {
  for (let times = 1; ; times += 1) {
    const status = await farm.hook('push', pushOf(i), { id: `push-${i}`, ...(url ? { url } : {}) }).catch(() => 0);
    if (status === 202) return times;
    await sleep(50);
  }
}

/** Delivers `count` pushes, so many at a time. @returns how often one was sent, in all */
export async function deliverAll(
  farm: FarmClient,
  count: number,
  { from = 0, atOnce = 64, url }: { from?: number; atOnce?: number; url?: string } = {},
): Promise<number> {
  const waiting = Array.from({ length: count }, (_, i) => from + i);
  const tries: number[] = [];
  const sender = async () => {
    for (let i = waiting.shift(); i !== undefined; i = waiting.shift()) tries.push(await deliver(farm, i, url));
  };
  await Promise.all(Array.from({ length: atOnce }, sender));
  return tries.reduce((a, b) => a + b, 0);
}

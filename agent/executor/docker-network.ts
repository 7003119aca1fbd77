import type Docker from 'dockerode';
import type { Step } from '../../protocol/job.ts';
import { addressesOf, type Closed, fenceOf, putUpFence } from './docker-fence.ts';
import { reasonOf, statusOf } from './docker-pull.ts';
import type { NodePolicy } from './policy.ts';

export type StepNetworks = {
  /** Says once what steps will not have. */
  prepare: (farm: readonly string[], warn: (sentence: string) => void) => Promise<void>;
  /** The network of a step, as the engine calls it, and what its log should say about it. */
  forStep: (spec: Step) => Promise<{ mode: string; note?: string }>;
};

/** Of an agent: a bridge of its own on which steps do not see each other, fenced off unless the policy leaves it open. */
export function stepNetworks({ docker, owner, policy }: { docker: Docker; owner: string; policy: NodePolicy }): StepNetworks {
  const name = `thresh-${owner}`;
  const fence = fenceOf(owner);
  let farm: readonly string[] = [];
  let closed: Closed[] = [];
  let queue: Promise<unknown> = Promise.resolve();

  /** Looked at before every step: firewalls are reloaded, networks pruned, names move. */
  const ready = async (): Promise<string | undefined> => {
    const problem = await ensureBridge(docker, name, fence.bridge, owner);
    if (problem || policy.network === 'open') return problem;
    const now = await addressesOf(farm);
    if (now.length > 0) closed = now;
    return putUpFence(fence, closed);
  };
  const inTurn = (): Promise<string | undefined> => {
    const done = queue.then(ready);
    queue = done.catch(() => {});
    return done;
  };
  return {
    prepare: async (urls, warn) => {
      farm = urls;
      const problem = await inTurn();
      if (problem)
        warn(
          `steps of this agent have no network, as it cannot be fenced off (${problem}); give the agent root and iptables on the node's own network, or say 'network: open' in the file of --policy`,
        );
    },
    forStep: async ({ network = 'default' }) => {
      if (network !== 'default') return { mode: network };
      const problem = await inTurn();
      return problem ? { mode: 'none', note: `this step has no network: it cannot be fenced off (${problem})` } : { mode: name };
    },
  };
}

/** @returns why there is none */
async function ensureBridge(docker: Docker, name: string, bridge: string, owner: string): Promise<string | undefined> {
  try {
    await docker.getNetwork(name).inspect();
    return undefined;
  } catch (error) {
    if (statusOf(error) !== 404) return reasonOf(error);
  }
  try {
    await docker.createNetwork({
      Name: name,
      Driver: 'bridge',
      CheckDuplicate: true,
      Labels: { 'thresh.owner': owner },
      Options: { 'com.docker.network.bridge.name': bridge, 'com.docker.network.bridge.enable_icc': 'false' },
    });
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { parse } from 'yaml';
import { messageOf } from '../../protocol/errors.ts';
import type { Resources, Step } from '../../protocol/job.ts';
import { bytesText, parseQuantity } from '../../protocol/quantity.ts';
import { imageMatches } from './image-name.ts';

const closed = { additionalProperties: false };
const quantity = Type.Union([Type.String({ maxLength: 64 }), Type.Number()]);

/** The file of `--policy`: what steps may ask of this node, whatever the controller says. What it does not allow is refused. */
const PolicyFile = Type.Object(
  {
    privileged: Type.Optional(Type.Boolean()),
    hostNetwork: Type.Optional(Type.Boolean()),
    hostPaths: Type.Optional(
      Type.Array(Type.String({ pattern: '^/' }), { description: "each exactly as steps name it; '/x:ro' to read" }),
    ),
    capabilities: Type.Optional(Type.Array(Type.String({ pattern: '^[A-Z][A-Z_]{1,39}$' }), { description: "without 'CAP_'" })),
    images: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { description: "patterns such as 'ghcr.io/acme/*'" })),
    network: Type.Optional(Type.Union([Type.Literal('fenced'), Type.Literal('open')])),
    user: Type.Optional(Type.String({ minLength: 1, description: "as whom all steps run, such as '1000:1000'" })),
    limits: Type.Optional(
      Type.Object(
        { cpu: Type.Optional(quantity), memory: Type.Optional(quantity), pids: Type.Optional(Type.Integer({ minimum: 1 })) },
        closed,
      ),
    ),
  },
  closed,
);

/** What steps may ask of a node. */
export type NodePolicy = {
  privileged: boolean;
  hostNetwork: boolean;
  hostPaths: { path: string; readOnly: boolean }[];
  /** To add to `defaultCapabilities`. */
  capabilities: string[];
  /** Patterns; see `imageMatches`. */
  images: string[];
  /** fenced: steps reach the world, but neither the node nor the farm nor the cloud's metadata. open: whatever the engine lets them. */
  network: 'fenced' | 'open';
  /** As whom every step runs. Absent: as the image or the step says. */
  user?: string;
  /** What a step gets that asks for nothing, and the most that one may ask for. */
  limits: Resources;
};

/** Of a node that says nothing: any image, and nothing beyond the container. */
export const closedPolicy: NodePolicy = {
  privileged: false,
  hostNetwork: false,
  hostPaths: [],
  capabilities: [],
  images: ['**'],
  network: 'fenced',
  limits: {},
};

/**
 * What containers of steps can do as root: what installing packages and changing owners needs. Of Docker's own list it leaves out
 * making devices, raw sockets (which can pretend to be others), binding, chroot, file capabilities and audit records.
 */
export const defaultCapabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID'] as const;

/** @param text YAML or JSON @returns the policy, or all that is wrong with it */
export function readPolicy(text: string): { policy: NodePolicy } | { problems: string[] } {
  let raw: unknown;
  try {
    raw = parse(text, { maxAliasCount: 0 }) ?? {};
  } catch (error) {
    return { problems: [messageOf(error)] };
  }
  if (!Value.Check(PolicyFile, raw))
    return {
      problems: [...Value.Errors(PolicyFile, raw)].map(
        (e) => `${e.instancePath.slice(1).replaceAll('/', '.') || 'the policy'} ${e.message}`,
      ),
    };
  return policyOf(raw);
}

function policyOf(raw: Static<typeof PolicyFile>): { policy: NodePolicy } | { problems: string[] } {
  const { limits = {}, hostPaths = [], user, ...rest } = raw;
  const cpu = limits.cpu === undefined ? undefined : parseQuantity(limits.cpu);
  const memory = limits.memory === undefined ? undefined : parseQuantity(limits.memory);
  const problems = [
    ...(limits.cpu !== undefined && cpu === undefined
      ? [`limits.cpu: '${limits.cpu}' is no number of cores, such as 2 or 500m`]
      : []),
    ...(limits.memory !== undefined && memory === undefined ? [`limits.memory: '${limits.memory}' is no size, such as 4Gi`] : []),
  ];
  if (problems.length > 0) return { problems };
  return {
    policy: {
      ...closedPolicy,
      ...rest,
      hostPaths: hostPaths.map((path) => ({ path: path.replace(/:ro$/, ''), readOnly: path.endsWith(':ro') })),
      ...(user === undefined ? {} : { user }),
      limits: {
        ...(cpu === undefined ? {} : { cpu }),
        ...(memory === undefined ? {} : { memoryBytes: Math.floor(memory) }),
        ...(limits.pids === undefined ? {} : { pids: limits.pids }),
      },
    },
  };
}

/** Why this node does not run a step with this image: a sentence that says what would allow it. Undefined: it does. */
export function refusalOf(spec: Step, image: string, policy: NodePolicy): string | undefined {
  const { images, limits } = policy;
  const no = (what: string, how: string) => `this node does not allow ${what}; its policy (--policy) would have to say ${how}`;
  if (!images.some((pattern) => imageMatches(image, pattern)))
    return `this node does not allow image '${image}'; its policy (--policy) allows ${images.join(', ') || 'none'}`;
  if (spec.privileged && !policy.privileged) return no('privileged steps', 'privileged: true');
  if (spec.network === 'host' && !policy.hostNetwork) return no("steps on the host's network", 'hostNetwork: true');
  for (const name of spec.capabilities ?? [])
    if (!policy.privileged && ![...defaultCapabilities, ...policy.capabilities].includes(name))
      return no(`capability ${name}`, `capabilities: [${name}]`);
  for (const { path, readOnly } of spec.hostPaths ?? [])
    if (!policy.hostPaths.some((p) => p.path === path && (readOnly || !p.readOnly)))
      return no(`host path '${path}'${readOnly ? '' : ' to be written'}`, `hostPaths: [${path}${readOnly ? ':ro' : ''}]`);
  if (policy.user !== undefined && spec.user !== undefined && spec.user !== policy.user)
    return `this node runs all steps as user '${policy.user}', but the step asks for '${spec.user}'`;
  const { cpu, memoryBytes, pids } = spec.resources ?? {};
  if (cpu !== undefined && limits.cpu !== undefined && cpu > limits.cpu)
    return no(`${cpu} CPUs, the most is ${limits.cpu}`, `limits: {cpu: ${cpu}}`);
  if (memoryBytes !== undefined && limits.memoryBytes !== undefined && memoryBytes > limits.memoryBytes)
    return no(
      `${bytesText(memoryBytes)} of memory, the most is ${bytesText(limits.memoryBytes)}`,
      `limits: {memory: ${bytesText(memoryBytes)}}`,
    );
  if (pids !== undefined && limits.pids !== undefined && pids > limits.pids)
    return no(`${pids} processes, the most is ${limits.pids}`, `limits: {pids: ${pids}}`);
  return undefined;
}

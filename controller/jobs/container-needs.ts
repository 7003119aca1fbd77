import type { HostPath, Resources, Step } from '../../protocol/job.ts';
import { parseQuantity } from '../../protocol/quantity.ts';
import { found } from './check.ts';
import type { Finding, Path } from './place.ts';
import type { RawContainer, RawSpec, RawStep } from './schema.ts';

/** What a step asks of the node beyond running its image. Fields that are not said are absent. */
export type ContainerNeeds = Pick<
  Step,
  'pullPolicy' | 'resources' | 'user' | 'network' | 'privileged' | 'capabilities' | 'hostPaths'
>;

/** Docker takes no less. */
const leastMemoryBytes = 6 * 1024 * 1024;
const mostCpu = 10_000;

/** Of a step of `steps` or `finally`. */
export function needsOfStep(s: RawStep): ContainerNeeds {
  return {
    ...defined('pullPolicy', s.pull_policy),
    ...resources(s.resources?.cpu, s.resources?.memory, s.resources?.pids),
    ...defined('user', s.user === undefined ? undefined : String(s.user)),
    ...defined('network', s.network),
    ...(s.privileged ? { privileged: true } : {}),
    ...capabilities(s.capabilities),
    ...hostPaths((s.host_paths ?? []).map((h) => ({ path: h.path, mount: h.mount ?? h.path, readOnly: h.read_only ?? false }))),
  };
}

/** Of a Kubernetes PodSpec. Limits count; requests do not, as the farm gives out slots. */
export function needsOfContainer(spec: RawSpec, container: RawContainer): ContainerNeeds {
  const { securityContext: own = {}, resources: r, imagePullPolicy, volumeMounts = [] } = container;
  const runAsUser = own.runAsUser ?? spec.securityContext?.runAsUser;
  const runAsGroup = own.runAsGroup ?? spec.securityContext?.runAsGroup;
  const onHost = new Map((spec.volumes ?? []).flatMap((v) => (v.hostPath ? [[v.name, v.hostPath.path] as const] : [])));
  return {
    ...defined('pullPolicy', imagePullPolicy && pullPolicies[imagePullPolicy]),
    ...resources(r?.limits?.cpu, r?.limits?.memory, undefined),
    ...(runAsUser === undefined ? {} : { user: runAsGroup === undefined ? `${runAsUser}` : `${runAsUser}:${runAsGroup}` }),
    ...(spec.hostNetwork ? { network: 'host' as const } : {}),
    ...(own.privileged ? { privileged: true } : {}),
    ...capabilities(own.capabilities?.add),
    ...hostPaths(
      volumeMounts.flatMap(({ name, mountPath, readOnly = false }) => {
        const path = onHost.get(name);
        return path === undefined ? [] : [{ path, mount: mountPath, readOnly }];
      }),
    ),
  };
}

const pullPolicies = { Always: 'always', IfNotPresent: 'if-not-present', Never: 'never' } as const;

function defined<K extends string, V>(key: K, value: V | undefined): { [k in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [k in K]?: V });
}

function resources(cpuText: unknown, memoryText: unknown, pids: number | undefined): { resources?: Resources } {
  const [cpu, memory] = [quantity(cpuText), quantity(memoryText)];
  const asked: Resources = {
    ...defined('cpu', cpu),
    ...defined('memoryBytes', memory === undefined ? undefined : Math.floor(memory)),
    ...defined('pids', pids),
  };
  return Object.keys(asked).length > 0 ? { resources: asked } : {};
}

const quantity = (text: unknown): number | undefined =>
  typeof text === 'string' || typeof text === 'number' ? parseQuantity(text) : undefined;

const capabilities = (names: string[] = []): { capabilities?: string[] } =>
  names.length > 0 ? { capabilities: [...new Set(names.map((name) => name.toUpperCase().replace(/^CAP_/, '')))] } : {};

const hostPaths = (paths: HostPath[]): { hostPaths?: HostPath[] } =>
  paths.length > 0 ? { hostPaths: paths.map((h) => ({ ...h, path: tidy(h.path), mount: tidy(h.mount) })) } : {};

/** As the policy of a node lists it: without a slash at its end. */
const tidy = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, '') || '/' : path);

/** What is wrong with a size or a number of cores. @param path of the map that holds both */
export function quantityFindings(limits: { cpu?: unknown; memory?: unknown } | undefined, path: Path): Finding[] {
  const wrong = (field: string, value: unknown, want: string): Finding => ({
    path: [...path, field],
    message: `${[...path.filter((p) => typeof p === 'string'), field].join('.')} must be ${want}, but is ${found(value)}`,
  });
  const { cpu, memory } = limits ?? {};
  const cores = quantity(cpu);
  const bytes = quantity(memory);
  return [
    ...(cpu !== undefined && (cores === undefined || cores > mostCpu)
      ? [wrong('cpu', cpu, "a number of cores, such as 2 or '500m'")]
      : []),
    ...(memory !== undefined && (bytes === undefined || bytes < leastMemoryBytes || bytes > Number.MAX_SAFE_INTEGER)
      ? [wrong('memory', memory, "a size of at least 6Mi, such as '512Mi'")]
      : []),
  ];
}

import { checkOf } from './check.ts';
import { quantityFindings } from './container-needs.ts';
import { readEnv, reservedEnv } from './env.ts';
import type { DefinedType } from './job-type.ts';
import type { Finding, Path } from './place.ts';
import { RawContainer, type RawJob } from './schema.ts';

const container = checkOf(RawContainer, 'a container');

/** What is wrong with a job that has a PodSpec. The rest of a PodSpec (sidecars, emptyDir, secret volumes...) is not looked at. */
export function validateSpec(raw: RawJob, type: DefinedType): Finding[] {
  const { containers = [], initContainers = [] } = raw.spec ?? {};
  if (containers.length !== 1)
    return [
      {
        path: ['spec', 'containers'],
        message: `spec.containers must be a list of one container, but has ${containers.length}; write several as 'steps'`,
      },
    ];
  if (initContainers.length > 0)
    return [{ path: ['spec', 'initContainers'], on: 'key', message: "initContainers are not possible; write them as 'steps'" }];
  const [only] = containers;
  const path = ['spec', 'containers', 0];
  if (!container.is(only))
    return container.findings(only).map((f) => ({ ...f, path: [...path, ...f.path], message: `container: ${f.message}` }));
  return [
    ...envFindings(raw.env, ['env'], type),
    ...envFindings(only.env, [...path, 'env'], type),
    ...quantityFindings(only.resources?.limits, [...path, 'resources', 'limits']),
  ];
}

/** What is wrong with an `env`, the farm's own variables included. */
export function envFindings(raw: unknown, path: Path, type: DefinedType): Finding[] {
  const { env, findings } = readEnv(raw, path);
  const taken = env.filter((v) => reservedEnv[type].has(v.name));
  return [
    ...findings,
    ...taken.map((v) => ({ path, message: `env: the farm sets ${v.name} itself; give the variable another name` })),
  ];
}

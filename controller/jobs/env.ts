import type { Static } from 'typebox';
import type { EnvVar } from '../../protocol/job.ts';
import { checkOf, cut, found } from './check.ts';
import type { DefinedType } from './job-type.ts';
import type { Finding, Path } from './place.ts';
import { RawEnvVar } from './schema.ts';

type Variable = Static<typeof EnvVar>;
const variable = checkOf(RawEnvVar, 'a variable');

/**
 * Reads `env`, written as a list of {name, value} or as a map.
 * @param path where it stands, for the findings
 * @returns the variables with a value of their own (valueFrom is left out), and what is wrong
 */
export function readEnv(raw: unknown, path: Path): { env: Variable[]; findings: Finding[] } {
  if (raw === undefined || raw === null) return { env: [], findings: [] };
  if (Array.isArray(raw)) return readList(raw, path);
  if (typeof raw === 'object') return readMap(raw, path);
  return { env: [], findings: [{ path, message: `env must be a map, or a list of name and value, but is ${found(raw)}` }] };
}

function readList(raw: unknown[], path: Path): ReturnType<typeof readEnv> {
  const findings: Finding[] = [];
  const env: Variable[] = [];
  const seen = new Set<string>();
  for (const [i, item] of raw.entries()) {
    const entry = asGoReads(item);
    if (!variable.is(entry)) {
      const prefix = nameOf(entry) ? `env ${cut(nameOf(entry) ?? '')}` : `env[${i}]`;
      findings.push(
        ...variable.findings(entry).map((f) => ({ ...f, path: [...path, i, ...f.path], message: `${prefix}: ${f.message}` })),
      );
      continue;
    }
    if (seen.has(entry.name))
      findings.push({ path: [...path, i], message: `env: the variable ${entry.name} is there twice; remove one` });
    seen.add(entry.name);
    if (entry.valueFrom === undefined) env.push({ name: entry.name, value: entry.value ?? '' });
  }
  return { env, findings };
}

/** The map is ours, and stricter: 1.10 and yes would silently become 1.1 and true. */
function readMap(raw: object, path: Path): ReturnType<typeof readEnv> {
  const findings: Finding[] = [];
  const env: Variable[] = [];
  for (const [name, value] of Object.entries(raw)) {
    const entry = { name, value };
    if (variable.is(entry)) {
      env.push({ name, value: entry.value ?? '' });
      continue;
    }
    const [first] = variable.findings(entry);
    const message =
      typeof value === 'string'
        ? `env: ${first?.message}`
        : `env.${cut(name)} must be text, but is ${found(value)}; put it in quotes`;
    findings.push({ path: [...path, name], ...(typeof value === 'string' ? { on: 'key' as const } : {}), message });
  }
  return { env, findings };
}

const nameOf = (entry: unknown): string | undefined => {
  const name = typeof entry === 'object' && entry !== null && 'name' in entry ? entry.name : undefined;
  return typeof name === 'string' ? name : undefined;
};

/** Go takes field names in any case, and numbers and booleans where it wants text; Kubernetes' own configuration has both. */
function asGoReads(entry: unknown): unknown {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return entry;
  const fields = Object.entries(entry).map(([key, value]): [string, unknown] => {
    const lower = key.toLowerCase();
    if (lower === 'name') return ['name', value];
    if (lower === 'value') return ['value', typeof value === 'number' || typeof value === 'boolean' ? String(value) : value];
    return [lower === 'valuefrom' ? 'valueFrom' : key, value];
  });
  return Object.fromEntries(fields);
}

const always = ['CI', 'JOB_NAME', 'JOB_TYPE', 'JOB_SPEC', 'BUILD_ID', 'BUILD_NUMBER', 'PROW_JOB_ID'];
const ofRefs = ['REPO_OWNER', 'REPO_NAME', 'PULL_BASE_REF', 'PULL_BASE_SHA', 'PULL_REFS'];
const ofPull = ['PULL_NUMBER', 'PULL_PULL_SHA', 'PULL_HEAD_REF', 'PULL_TITLE'];
/** Variables that the farm sets itself, so that a job must not. */
export const reservedEnv: Record<DefinedType, ReadonlySet<string>> = {
  presubmit: new Set([...always, ...ofRefs, ...ofPull]),
  postsubmit: new Set([...always, ...ofRefs]),
  periodic: new Set(always),
  manual: new Set(always),
};

import { checkoutName } from '../../protocol/job.ts';
import { checkOf, cut, found } from './check.ts';
import { quantityFindings } from './container-needs.ts';
import type { DefinedType } from './job-type.ts';
import { cycleIn } from './order-steps.ts';
import type { Finding, Path } from './place.ts';
import { type RawJob, RawStep } from './schema.ts';
import { hint, nearest } from './suggest.ts';
import { checkDuration } from './validate-duration.ts';
import { envFindings } from './validate-spec.ts';

const step = checkOf(RawStep, 'a step');
const maxSteps = 500;

type Placed = { step: RawStep; path: Path; finally: boolean };

/** What is wrong with `steps` and `finally`: each for itself first, and only then how they hang together. */
export function validateSteps(raw: RawJob, type: DefinedType): Finding[] {
  const all = (['steps', 'finally'] as const).flatMap((list) =>
    (raw[list] ?? []).map((value, i) => ({ value, path: [list, i] as Path })),
  );
  if ((raw.steps ?? []).length === 0) return [{ path: ['steps'], message: 'steps is an empty list; write at least one step' }];
  if (all.length > maxSteps)
    return [{ path: ['finally'], message: `the job has ${all.length} steps; at most ${maxSteps} are possible` }];

  const placed: Placed[] = [];
  const findings = all.flatMap(({ value, path }) => {
    if (!step.is(value)) return inStep(step.findings(value), path, nameIn(value));
    placed.push({ step: value, path, finally: path[0] === 'finally' });
    return inStep(validateStep(value, type), path, value.name);
  });
  findings.push(...envFindings(raw.env, ['env'], type));
  if (placed.length < all.length) return findings;
  const doubles = doubleNames(placed);
  const needs = doubles.length > 0 ? doubles : wrongNeeds(placed);
  const graph = needs.length > 0 ? needs : circle(placed);
  return [...findings, ...graph, ...queues(raw, placed)];
}

const nameIn = (value: unknown): string | undefined => {
  const name = typeof value === 'object' && value !== null && 'name' in value ? value.name : undefined;
  return typeof name === 'string' ? name : undefined;
};

const inStep = (findings: Finding[], path: Path, name: string | undefined): Finding[] =>
  findings.map((f) => ({
    ...f,
    path: [...path, ...f.path],
    message: `${name === undefined ? `${path[0]}[${path[1]}]` : `step '${cut(name)}'`}: ${f.message}`,
  }));

function validateStep(s: RawStep, type: DefinedType): Finding[] {
  return [
    ...reservedName(s),
    ...whatItRuns(s),
    ...checkDuration(s.timeout, ['timeout'], { minMs: 1_000 }),
    ...checkDuration(s.grace_period, ['grace_period'], { minMs: 0 }),
    ...envFindings(s.env, ['env'], type),
    ...secrets(s),
    ...workdir(s),
    ...quantityFindings(s.resources, ['resources']),
  ];
}

const reservedName = (s: RawStep): Finding[] =>
  s.name === checkoutName
    ? [{ path: ['name'], message: `the farm's own first step, which checks out the source, has this name; rename yours` }]
    : [];

function whatItRuns(s: RawStep): Finding[] {
  const other = s.command ? 'command' : s.args ? 'args' : undefined;
  if (s.script !== undefined && other)
    return [{ path: [other], on: 'key', message: `has both script and ${other}; keep one of them` }];
  if (s.script === undefined && !s.command?.length && s.image === undefined)
    return [{ path: [], message: 'runs nothing; give it script, command or image' }];
  return [];
}

function secrets(s: RawStep): Finding[] {
  const env = new Set(Array.isArray(s.env) ? s.env.map(nameIn) : Object.keys(s.env ?? {}));
  return Object.entries(s.secrets ?? {}).flatMap(([name, secret]): Finding[] => {
    const path = ['secrets', name];
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,255}$/.test(name))
      return [
        {
          path,
          on: 'key',
          message: `secrets: '${cut(name)}' cannot be the name of an environment variable; use letters, digits and '_'`,
        },
      ];
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(secret))
      return [
        {
          path,
          message: `secrets.${name} must be the name of a secret of the farm (letters, digits, '.', '_', '-'), but is ${found(secret)}`,
        },
      ];
    return env.has(name) ? [{ path, on: 'key', message: `${name} is in both env and secrets; keep one of them` }] : [];
  });
}

function workdir({ workdir: dir }: RawStep): Finding[] {
  if (dir === undefined) return [];
  const inside = !dir.startsWith('/') && !dir.split('/').includes('..') && !dir.includes('\0') && dir.length <= 4_096;
  return inside
    ? []
    : [
        {
          path: ['workdir'],
          message: `workdir must be a path inside the workspace, without '..' and not beginning with '/', but is ${found(dir)}`,
        },
      ];
}

function doubleNames(placed: Placed[]): Finding[] {
  const seen = new Set<string>();
  return placed.flatMap(({ step: s, path }) => {
    if (!seen.has(s.name)) {
      seen.add(s.name);
      return [];
    }
    return [{ path: [...path, 'name'], message: `two steps have the name '${s.name}'; rename one of them` }];
  });
}

function wrongNeeds(placed: Placed[]): Finding[] {
  const byName = new Map(placed.map((p) => [p.step.name, p]));
  const names = [...byName.keys()];
  return placed.flatMap(({ step: s, path, finally: last }) => {
    if (s.when === 'failure' && !last && !s.needs?.length)
      return [
        {
          path: [...path, 'when'],
          message: `step '${s.name}' runs when a step that it needs has failed, but it needs none; add needs`,
        },
      ];
    return (s.needs ?? []).flatMap((need, i): Finding[] => {
      const at = [...path, 'needs', i];
      const needed = byName.get(need);
      if (!needed) {
        const what = nearest(need, names) || names.length <= 10 ? hint(need, names) : 'write a step of this job';
        return [{ path: at, message: `step '${s.name}' needs '${cut(need)}', which is no step of this job; ${what}` }];
      }
      if (needed.finally && !last)
        return [
          { path: at, message: `step '${s.name}' needs '${need}', which is in finally and runs after it; move one of them` },
        ];
      return [];
    });
  });
}

function circle(placed: Placed[]): Finding[] {
  const cycle = cycleIn(placed.map((p) => p.step));
  if (!cycle) return [];
  const first = placed.find((p) => p.step.name === cycle[0]);
  return [
    {
      path: [...(first?.path ?? []), 'needs'],
      message: `the steps need each other in a circle: ${circleText(cycle)}; remove one of these needs`,
    },
  ];
}

const circleText = (cycle: string[]): string =>
  (cycle.length > 20 ? [...cycle.slice(0, 10), '...', ...cycle.slice(-9)] : cycle).join(' -> ');

function queues(raw: RawJob, placed: Placed[]): Finding[] {
  if (raw.workspace === 'shared') return [];
  const queueOf = (s: RawStep) => s.queue ?? raw.queue ?? 'default';
  const [first] = placed;
  const other = placed.find((p) => first && queueOf(p.step) !== queueOf(first.step));
  if (!first || !other) return [];
  const message = `with a local workspace all steps go to one agent, so to one queue, but '${first.step.name}' is of '${queueOf(first.step)}' and '${other.step.name}' of '${queueOf(other.step)}'; give them one queue, or say workspace: shared`;
  return [{ path: [...other.path, 'queue'], message }];
}

import { checkOf } from './check.ts';
import type { DefinedType } from './job-type.ts';
import type { Finding } from './place.ts';
import { fieldsOf, otherProwFields, RawDecoration, RawJob } from './schema.ts';
import { hint } from './suggest.ts';
import { checkDuration } from './validate-duration.ts';
import { validateSpec } from './validate-spec.ts';
import { validateSteps } from './validate-steps.ts';
import { validateTrigger } from './validate-trigger.ts';

const job = checkOf(RawJob, 'a job');
const decorationFields = fieldsOf(RawDecoration) as (keyof typeof RawDecoration.properties)[];
const known = [...fieldsOf(RawJob), ...otherProwFields];

/**
 * Everything that is wrong with one job as it stands in the file, apart from other jobs.
 * @returns the job when nothing is wrong with it, else why not; paths begin at the job
 */
export function validateJob(raw: unknown, type: DefinedType): { raw: RawJob } | { findings: Finding[] } {
  if (!job.is(raw)) return { findings: job.findings(raw) };
  const findings = [
    ...unknownFields(raw, type),
    ...validateTrigger(raw, type),
    ...checkDuration(raw.timeout, ['timeout'], { minMs: 1_000 }),
    ...decorationFields.flatMap((f) =>
      checkDuration(raw.decoration_config?.[f], ['decoration_config', f], { minMs: f === 'timeout' ? 1_000 : 0 }),
    ),
    ...whatIsLost(raw),
    ...whatItRuns(raw, type),
  ];
  return findings.length === 0 ? { raw } : { findings };
}

/** Prow ignores fields that it does not know. A job with steps was written for this farm, so there such a field is a mistake. */
function unknownFields(raw: RawJob, type: DefinedType): Finding[] {
  if (raw.spec !== undefined && type !== 'manual') return [];
  return Object.keys(raw)
    .filter((field) => !known.includes(field))
    .map((field) => ({
      path: [field],
      on: 'key',
      message: `'${field}' is not a field of a job; ${hint(field, fieldsOf(RawJob))}`,
    }));
}

const whatIsLost = (raw: RawJob): Finding[] =>
  raw.lost !== undefined && raw.workspace !== 'shared'
    ? [{ path: ['lost'], on: 'key', message: "'lost' is about a shared workspace; say workspace: shared too, or remove it" }]
    : [];

function whatItRuns(raw: RawJob, type: DefinedType): Finding[] {
  if (raw.spec && raw.steps)
    return [{ path: ['steps'], on: 'key', message: "the job has both 'spec' and 'steps'; keep one of them" }];
  if (raw.spec) {
    const alone = raw.finally && [
      {
        path: ['finally'],
        on: 'key' as const,
        message: "'finally' goes with 'steps', not with 'spec'; write the container as a step",
      },
    ];
    return alone ?? validateSpec(raw, type);
  }
  if (raw.steps) return validateSteps(raw, type);
  return [{ path: [], message: "the job runs nothing; give it 'spec' (a PodSpec with one container) or 'steps'" }];
}

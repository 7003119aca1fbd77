import { createHash } from 'node:crypto';
import type { Step } from '../../protocol/job.ts';
import type { Run } from '../../protocol/run.ts';
import type { Objects } from './objects.ts';

/** Where resolved steps that are too big for a record lie: named by what they are, so that many runs share one. */
export const specKey = (steps: Uint8Array): string => `specs/${createHash('sha256').update(steps).digest('hex')}`;

/** The resolved steps of a run; undefined when they are not in object storage any more. */
export async function stepsOf(run: Pick<Run, 'spec'>, objects: Pick<Objects, 'get'>): Promise<Step[] | undefined> {
  if ('inline' in run.spec) return run.spec.inline;
  const body = await objects.get(run.spec.object);
  return body && (JSON.parse(body.toString('utf8')) as Step[]);
}

import type { Refs } from '../../protocol/change.ts';
import type { Job, Priority } from '../../protocol/job.ts';
import { type NewRun, shapeOf } from '../../protocol/run.ts';
import { mintRunId } from '../../protocol/run-id.ts';
import type { Source } from '../../protocol/source.ts';
import { withCheckout } from './checkout-step.ts';
import type { TriggerInput } from './input.ts';
import { askedBy } from './verdict.ts';

/** A run that a decision wants, before it has an id. */
export type Wanted = {
  job: Job;
  refs?: Refs | undefined;
  source?: Source | undefined;
  trusted: boolean;
  priority?: Priority | undefined;
};

/** The runs of one verdict, in order, with ids that grow from the farm's last. */
export function createRuns(input: TriggerInput, wanted: readonly Wanted[]): NewRun[] {
  let last = input.farm.lastRunId;
  const by = askedBy(input);
  return wanted.map(({ job, refs, source, trusted, priority }) => {
    last = mintRunId(last, input.nowMs);
    const steps = refs ? withCheckout(job.steps) : job.steps;
    return {
      id: last,
      job: job.name,
      type: job.type,
      ...(refs ? { refs: withClone(refs, job) } : {}),
      ...(source ? { source } : {}),
      context: job.context,
      optional: job.optional,
      // GitHub has no commit to show it at.
      skipReport: job.skipReport || source !== undefined,
      trusted,
      priority: priority ?? job.priority,
      workspace: job.workspace,
      ...(job.lost === undefined ? {} : { lost: job.lost }),
      maxConcurrency: job.maxConcurrency,
      ...(job.group === undefined ? {} : { group: job.group }),
      by,
      delivery: deliveryKey(input),
      createdAtMs: input.nowMs,
      steps: steps.map(shapeOf),
      spec: { inline: steps },
    };
  });
}

/** `source/id` of the delivery that is being decided. */
export const deliveryKey = ({ delivery }: TriggerInput): string => `${delivery.source}/${delivery.id}`;

/** Where and how a job's repository is cloned is the job's to say. */
const withClone = (refs: Refs, job: Job): Refs => ({
  ...refs,
  ...(job.cloneUri === undefined ? {} : { cloneUri: job.cloneUri }),
  ...(job.pathAlias === undefined ? {} : { pathAlias: job.pathAlias }),
});

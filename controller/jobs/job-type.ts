import type { JobType } from '../../protocol/job.ts';

/** The types that have definitions of their own; a batch is made of presubmits. */
export type DefinedType = Exclude<JobType, 'batch'>;

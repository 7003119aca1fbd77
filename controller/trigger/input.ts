import type { Delivery } from '../../protocol/delivery.ts';
import type { Farm } from '../../protocol/farm.ts';
import type { JobConfig, Step } from '../../protocol/job.ts';
import type { Run } from '../../protocol/run.ts';

/** What a decision reads of the farm. It changes none of it: what is to change stands in the verdict. */
export type TriggerFarm = Pick<Farm, 'runs' | 'openByPull' | 'pulls' | 'agents' | 'pausedQueues' | 'lastRunId'>;

/** Something that the decision needs and that is not in the farm's state. */
export type FactWant = { kind: 'run'; run: string } | { kind: 'delivery'; source: string; id: string; seq: number };

export type Facts = {
  /** null: there is no such run. */
  run?: Run | null | undefined;
  /** The resolved steps of that run, wherever its spec is kept. */
  spec?: Step[] | undefined;
  /** With its payload, as `TriggerInput.delivery`. null: it is not kept any more. */
  delivery?: Delivery | null | undefined;
};

export type TriggerInput = {
  /** A body that is kept as an object has been fetched into `payload`. */
  delivery: Delivery;
  /** Its sequence in `DELIVERIES`. */
  seq: number;
  /** The configuration in force; `{ hash: '', jobs: [] }` when there is none. */
  jobs: JobConfig;
  farm: TriggerFarm;
  /** What `factsWanted` asked for. */
  facts: Facts;
  /** Milliseconds since the epoch. */
  nowMs: number;
};

import type { Delivery } from '../../protocol/delivery.ts';
import { messageOf } from '../../protocol/errors.ts';
import type { JobConfig, Step } from '../../protocol/job.ts';
import type { Verdict } from '../../protocol/record.ts';
import type { Run } from '../../protocol/run.ts';
import type { Log } from '../store/log.ts';
import type { Objects } from '../store/objects.ts';
import { specKey } from '../store/specs.ts';
import { decide, type Facts, type FactWant, factsWanted, type TriggerFarm } from './decide.ts';
import { verdict } from './verdict.ts';

export type JudgeDeps = {
  objects: Pick<Objects, 'get' | 'put'>;
  /** The steps of a run, wherever its spec is kept. */
  stepsOf: (run: Run) => Promise<Step[] | undefined>;
  /** An ended run that is not in the farm's state any more. */
  archivedRun: (id: string) => Promise<Run | undefined>;
  /** A delivery by its sequence, as stored. */
  storedDelivery: (seq: number) => Promise<Delivery | undefined>;
  log: Log;
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** This leader's part is over: nothing is waited for any more. */
  signal: AbortSignal;
};

/** Steps and rules above these sizes go to object storage, so that a verdict stays one message. Bytes of JSON. */
const limits = { spec: 32 * 1024, specs: 384 * 1024, rules: 256 * 1024 };
const retryMs = 1_000;

/**
 * Decides one delivery: fetches its body and the facts that it needs, decides, and puts what is big into object storage. What cannot be
 * fetched now is tried again: a delivery is never passed over because a store was away.
 */
export async function judge(
  delivery: Delivery,
  seq: number,
  farm: TriggerFarm,
  jobs: JobConfig,
  deps: JudgeDeps,
): Promise<Verdict> {
  const whole = await untilDone(() => withPayload(delivery, deps), deps);
  const input = { delivery: whole ?? delivery, seq, jobs, farm, facts: {} as Facts, nowMs: deps.wallMs() };
  if (!whole) return verdict(input, 'refused', 'its body in object storage is gone or damaged');
  for (const want of factsWanted(whole, farm))
    Object.assign(input.facts, await untilDone(() => fetchFact(want, farm, deps), deps));
  return untilDone(() => slim(decide(input), delivery, deps), deps);
}

/** @throws when `signal` aborts while it waits */
async function untilDone<T>(work: () => Promise<T>, { log, signal }: JudgeDeps): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ reason: messageOf(error) }, 'a delivery waits for a store that does not answer');
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

async function withPayload(delivery: Delivery, { objects }: JudgeDeps): Promise<Delivery | undefined> {
  if (delivery.object === undefined) return delivery;
  const body = await objects.get(delivery.object);
  try {
    return body && { ...delivery, payload: JSON.parse(body.toString('utf8')) as unknown };
  } catch {
    return undefined;
  }
}

async function fetchFact(want: FactWant, farm: TriggerFarm, deps: JudgeDeps): Promise<Facts> {
  if (want.kind === 'delivery') {
    const stored = await deps.storedDelivery(want.seq);
    return { delivery: (stored?.source === want.source && stored.id === want.id && (await withPayload(stored, deps))) || null };
  }
  const run = farm.runs.get(want.run) ?? (await deps.archivedRun(want.run));
  return run ? { run, spec: await deps.stepsOf(run) } : { run: null };
}

/** The same verdict, its big parts moved to object storage. */
async function slim(decided: Verdict, delivery: Delivery, { objects }: JudgeDeps): Promise<Verdict> {
  let room = limits.specs;
  const creates = [];
  for (const run of decided.creates) {
    const steps = 'inline' in run.spec ? Buffer.from(JSON.stringify(run.spec.inline)) : Buffer.alloc(0);
    if (steps.length > limits.spec || steps.length > room) {
      const object = specKey(steps);
      await objects.put(object, steps);
      creates.push({ ...run, spec: { object } });
    } else {
      room -= steps.length;
      creates.push(run);
    }
  }
  const rules = Buffer.from(JSON.stringify(decided.rules));
  if (rules.length <= limits.rules) return { ...decided, creates };
  const rulesObject = `verdicts/${delivery.source}/${delivery.id}`;
  await objects.put(rulesObject, rules);
  return { ...decided, creates, rules: [], rulesObject };
}

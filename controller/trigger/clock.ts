import { Type } from 'typebox';
import type { Verdict } from '../../protocol/record.ts';
import type { TriggerInput } from './input.ts';
import { createRuns } from './new-run.ts';
import { isProblem, quote, read } from './read.ts';
import { verdict } from './verdict.ts';

/** `atMs`: the moment that the schedule names, not when it was noticed. */
const Tick = Type.Object({ job: Type.String(), atMs: Type.Integer() });

/** It is time for a periodic job, which may have gone from the configuration meanwhile. */
export function decideTick(input: TriggerInput): Verdict {
  const tick = read(Tick, input.delivery.payload);
  if (isProblem(tick)) return verdict(input, 'refused', `this is not a tick: ${tick.problem}`);
  const name = tick.value.job;
  const job = input.jobs.jobs.find((j) => j.type === 'periodic' && j.name === name);
  if (!job) return verdict(input, 'nothing', `there is no periodic job ${quote(name)} (any more)`);
  const why = `it is time for ${quote(name)}`;
  return verdict(input, 'runs', why, {
    rules: [{ job: name, runs: true, why }],
    creates: createRuns(input, [{ job, trusted: true }]),
  });
}

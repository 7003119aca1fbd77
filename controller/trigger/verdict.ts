import type { Verdict } from '../../protocol/record.ts';
import type { TriggerInput } from './input.ts';
import { cut, senderOf } from './read.ts';

/** Who a delivery is attributed to: for GitHub's events the login that caused them. */
export const askedBy = ({ delivery }: TriggerInput): string =>
  cut((delivery.source === 'github' ? senderOf(delivery.payload) : undefined) ?? delivery.by, 255);

/** A verdict on `input` that does nothing but what `effects` add. */
export function verdict(
  input: TriggerInput,
  decision: Verdict['decision'],
  reason: string,
  effects: Partial<Pick<Verdict, 'repo' | 'pull' | 'rules' | 'creates' | 'cancels' | 'changes'>> = {},
): Verdict {
  return {
    decision,
    reason: cut(reason, 1024),
    ...(input.jobs.hash === '' ? {} : { config: input.jobs.hash }),
    event: cut(input.delivery.event, 64),
    by: askedBy(input),
    rules: [],
    creates: [],
    cancels: [],
    changes: [],
    ...effects,
  };
}

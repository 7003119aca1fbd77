import type { Delivery } from '../../protocol/delivery.ts';
import type { Verdict } from '../../protocol/record.ts';
import { decideTick } from './clock.ts';
import { commentFacts, decideComment } from './github-comment.ts';
import { decidePullRequest } from './github-pull-request.ts';
import { decidePush } from './github-push.ts';
import type { FactWant, TriggerFarm, TriggerInput } from './input.ts';
import { quote } from './read.ts';
import { decideRequest, requestFacts } from './request.ts';
import { verdict } from './verdict.ts';

export type { Facts, FactWant, TriggerFarm, TriggerInput } from './input.ts';

/** What must be fetched before `decide` can answer, at most one of each kind. `delivery` has its payload, as for `decide`. */
export function factsWanted(delivery: Delivery, farm: Pick<TriggerFarm, 'runs' | 'pulls'>): FactWant[] {
  if (delivery.source === 'github') return delivery.event === 'issue_comment' ? commentFacts(delivery, farm) : [];
  return delivery.source === 'clock' ? [] : requestFacts(delivery, farm);
}

/** What a delivery leads to. Never throws, whatever the payload: what cannot be used is refused, with the reason. */
export function decide(input: TriggerInput): Verdict {
  switch (input.delivery.source) {
    case 'github':
      return decideEvent(input);
    case 'clock':
      return decideTick(input);
    case 'person':
    case 'agent':
      return decideRequest(input);
    default:
      return verdict(input, 'refused', 'deliveries from this source are not known');
  }
}

function decideEvent(input: TriggerInput): Verdict {
  switch (input.delivery.event) {
    case 'push':
      return decidePush(input);
    case 'pull_request':
      return decidePullRequest(input);
    case 'issue_comment':
      return decideComment(input);
    case 'ping':
      return verdict(input, 'nothing', 'GitHub reaches this farm: the webhook works');
    default:
      return verdict(input, 'nothing', `events ${quote(input.delivery.event)} lead to nothing here`);
  }
}

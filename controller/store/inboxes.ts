import {
  AckPolicy,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  ReplayPolicy,
} from '@nats-io/jetstream';
import { isToken } from '../../protocol/token.ts';

/**
 * Makes the agent's inbox: the one consumer it may pull from. Nothing is acknowledged: an agent that could ack could remove what is not
 * its own. Made again (after `removeInbox`), it starts with what is still stored; the agent's journal knows what it had.
 */
export async function ensureInbox(jsm: JetStreamManager, agent: string): Promise<void> {
  await jsm.consumers.add('TASKS', inboxConfig(agent));
}

/** Removes the inbox; its tasks stay until withdrawn or too old. @returns false when there was none */
export async function removeInbox(jsm: JetStreamManager, agent: string): Promise<boolean> {
  try {
    return await jsm.consumers.delete('TASKS', checked(agent));
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound) return false;
    throw error;
  }
}

/** Limits are for the agent that turns hostile: what one agent can make the server hold. */
const inboxConfig = (agent: string) => ({
  durable_name: checked(agent),
  filter_subject: `task.${checked(agent)}.>`,
  ack_policy: AckPolicy.None,
  deliver_policy: DeliverPolicy.All,
  replay_policy: ReplayPolicy.Instant,
  max_waiting: 16,
  max_batch: 64,
  max_expires: 60 * 1_000_000_000,
});

function checked(agent: string): string {
  if (!isToken(agent)) throw new RangeError(`'${agent}' cannot be an agent's id`);
  return agent;
}

import type { JetStreamClient } from '@nats-io/jetstream';
import type { Logger } from 'pino';
import { Compile } from 'typebox/compile';
import { messageOf } from '../protocol/errors.ts';
import { Task } from '../protocol/task.ts';

export type InboxDeps = {
  js: JetStreamClient;
  agent: string;
  log: Logger;
  /** Resolves when a slot is free and the agent takes tasks; rejects when `signal` aborts. */
  slot: (signal: AbortSignal) => Promise<void>;
  /** Resolves when the connection has come back the next time: the server may not know of a pull from before. */
  reconnected: () => Promise<void>;
  /** Takes a task that may be one that is known already. It is journalled, known or refused when this returns. */
  take: (task: Task) => void;
};

const tasks = Compile(Task);
/** Shorter than the time after which the leader gives up on a task that nobody takes: a pull that was lost must not cost it. */
const pullMs = 10_000;
const retryMs = 1_000;

/** Pulls tasks from the agent's own inbox, one at a time, while a slot is free, until `signal` aborts. */
export async function readInbox({ js, agent, log, slot, reconnected, take }: InboxDeps, signal: AbortSignal): Promise<void> {
  // Agents have no access to the API that `consumers.get` asks.
  const inbox = js.consumers.getConsumerFromInfo({ stream_name: 'TASKS', name: agent, config: {} } as Parameters<
    typeof js.consumers.getConsumerFromInfo
  >[0]);
  const pull = async () => {
    const message = await inbox.next({ expires: pullMs });
    if (!message) return;
    const task: unknown = message.json();
    if (tasks.Check(task) && task.agent === agent) take(task);
    else log.error({ subject: message.subject }, 'a task that this agent does not understand was left alone');
  };
  while (!signal.aborted) {
    try {
      await slot(signal);
      const back = reconnected();
      const pulled = pull();
      // One that is left alone may still bring a task; that it fails is then of no interest.
      pulled.catch(() => {});
      await Promise.race([pulled, back]);
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ reason: messageOf(error) }, 'pulling tasks failed; trying again');
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

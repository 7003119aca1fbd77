import { JetStreamApiError, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import { natsErrors } from '../../protocol/streams.ts';
import { type AttemptKey, type Task, taskSubject } from '../../protocol/task.ts';

/**
 * Puts a task into its agent's inbox, once: the same attempt again changes nothing, unless `again` asks for a new delivery.
 * @param again the earlier message is taken out first, so that the inbox delivers this one
 * @returns 'there' when the inbox has the attempt already
 * @throws FarmError TASK_NOT_PUBLISHED: unknown whether it is stored; publish it once more
 */
export async function publishTask(
  js: JetStreamClient,
  jsm: JetStreamManager,
  task: Task,
  { again }: { again: boolean },
): Promise<'published' | 'there'> {
  const subject = taskSubject(task.agent, task);
  try {
    if (again) await takeOut(jsm, subject);
    await js.publish(subject, JSON.stringify(task), { expect: { lastSubjectSequence: 0 }, timeout: 5_000 });
    return 'published';
  } catch (error) {
    if (isThere(error)) return 'there';
    throw new FarmError('TASK_NOT_PUBLISHED', { subject, detail: messageOf(error) }, { cause: error });
  }
}

/** Takes a task out of its agent's inbox, delivered or not. @returns false when it was not there */
export const withdrawTask = (jsm: JetStreamManager, agent: string, attempt: AttemptKey): Promise<boolean> =>
  takeOut(jsm, taskSubject(agent, attempt));

async function takeOut(jsm: JetStreamManager, subject: string): Promise<boolean> {
  const stored = await jsm.streams.getMessage('TASKS', { last_by_subj: subject });
  if (!stored) return false;
  try {
    return await jsm.streams.deleteMessage('TASKS', stored.seq);
  } catch (error) {
    // Somebody else took it out in between, or it grew too old.
    if (error instanceof JetStreamApiError && (await jsm.streams.getMessage('TASKS', { seq: stored.seq })) === null) return false;
    throw error;
  }
}

/** The condition says so, or the limit of one message per subject does; a full stream has the same code as the latter. */
const isThere = (error: unknown): boolean =>
  error instanceof JetStreamApiError &&
  (error.code === natsErrors.wrongLastSequence ||
    (error.code === natsErrors.streamFull && error.message.includes('per subject')));

import type { NatsConnection } from '@nats-io/transport-node';
import { Compile } from 'typebox/compile';
import { Beat, type BeatAnswer } from '../../protocol/beat.ts';
import { messageOf } from '../../protocol/errors.ts';
import type { Log } from './log.ts';

const beats = Compile(Beat);

/**
 * Hears the agents' beats; who beats stands in the subject, which the server lets only that agent use.
 * @returns stops it
 */
export function hearBeats(
  nc: NatsConnection,
  log: Log,
  hear: (agent: string, beat: Beat, answer: (answer: BeatAnswer) => void) => void,
): () => void {
  const subscription = nc.subscribe('beat.*', {
    callback: (error, message) => {
      const agent = message?.subject.split('.')[1];
      if (error || agent === undefined) return;
      try {
        const beat: unknown = message.json();
        if (beats.Check(beat)) return hear(agent, beat, (answer) => void message.respond(JSON.stringify(answer)));
        log.warn({ agent }, 'a beat that this controller does not understand was ignored');
      } catch (error) {
        log.warn({ agent, reason: messageOf(error) }, 'a beat that is not JSON was ignored');
      }
    },
  });
  return () => subscription.unsubscribe();
}

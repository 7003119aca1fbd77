import type { Beat, BeatAnswer } from './beat.ts';
import type { JoinAnswer, JoinRequest } from './join.ts';
import type { FromAgent, LogChunk, ToAgent } from './log.ts';
import type { Notice } from './notice.ts';
import type { Task } from './task.ts';

/*
 * What an agent and a controller say to each other, in the order in which it happens. Each entry is one call: who speaks, over what, what
 * it means when it is answered, and what the speaker does when it is not.
 *
 *   agent                                   controller
 *     | 1 join            POST, join token    | any replica; decided by the leader
 *     |-------------------------------------->|
 *     | 2 log in          NATS, own nkey      | an account without JetStream
 *     |-------------------------------------->|
 *     | 3 beat            request             | the leader; held while there is nothing to say
 *     |<------------------------------------->|
 *     | 4 task            pull of own inbox   | published after `assigned` is stored
 *     |<--------------------------------------|
 *     | 5 notice: start   JetStream publish   | "not there yet" is the condition
 *     |-------------------------------------->|
 *     | 6 output          WebSocket           | any replica
 *     |<------------------------------------->|
 *     | 6b artifacts      HTTP PUT            | any replica, before the end is said (artifact.ts)
 *     |-------------------------------------->|
 *     | 7 notice: end     JetStream publish   |
 *     |-------------------------------------->|
 */
export type Conversation = {
  /**
   * 1. `POST /api/agents/join` with a join token. Answered when the verdict is folded, the inbox exists and the server knows the key.
   * 4xx: no, for good. 5xx or silence: again, at another controller. Joining twice with one key is the same as once.
   */
  join: { says: JoinRequest; hears: JoinAnswer };

  /**
   * 3. Request on `beat.<agent>`, one after the other, for as long as the agent lives. The answer is the only way in which an agent is told
   * anything, so nobody can forge an order. `again`: this controller has stepped down. Silence: nothing is known, go on; the lease
   * decides, on the leader's clock, and the agent's steps do not stop for it.
   */
  beat: { says: Beat; hears: BeatAnswer };

  /**
   * 4. `next()` on the agent's own consumer while a slot is free. At least once: an attempt that the journal knows is not started twice; one of a
   * lower term than the highest seen is left alone. There is no acknowledgement: the next beat or notice that names the attempt is one.
   * What nobody names for `unacceptedMs` is published again.
   */
  task: { hears: Task };

  /**
   * 5, 7. Publish on `notice.<agent>.<run>.<step>.<attempt>.<n>`, n counted in the journal, each after the one before is stored. Refused as "already
   * there": it is stored. Silence: unknown, the same again. A notice of an attempt that is no longer this agent's is stored and has no effect.
   */
  notice: { says: Notice };

  /**
   * 6. The agent's one WebSocket, `GET /api/agents/<agent>/logs` with its agent token; in it a stream per attempt. `open` is answered by `go` with the offset that
   * is wanted: that of the newest stored chunk's end, whichever replica stored it. Binary chunks follow; `stored` frees the
   * spool. `end` is answered by `complete` once all is stored. `refused`: the attempt is not this agent's any more. `later`: no room now.
   */
  log: { says: FromAgent | LogChunk; hears: ToAgent };
};

import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { messageOf } from '../../protocol/errors.ts';
import { exitOf, isSignal } from './docker-config.ts';
import { demultiplex, inOrder, type Order, type Piece } from './docker-output.ts';
import { statusOf } from './docker-pull.ts';
import type { ExecutorJob, Exit } from './executor.ts';

/** What `term` and `kill` must know of a container that is being started, or is running, at the same time. */
export type Progress = {
  asked?: 'SIGTERM' | 'SIGKILL';
  ended: boolean;
  /** Started: a signal arrives. */
  container?: Docker.Container;
  /** Ends a pull. */
  aborting: AbortController;
};

export function ask(at: Progress, signal: 'SIGTERM' | 'SIGKILL'): boolean {
  if (at.ended) return false;
  if (at.asked !== 'SIGKILL') at.asked = signal;
  at.aborting.abort();
  send(at);
  return true;
}

/** Again, when it may not have arrived. */
export function send({ container, asked }: Progress): void {
  // Gone already, or the engine is away: whoever waits for the end looks again.
  if (container && asked) container.kill({ signal: asked }).catch(() => {});
}

export type Watched = {
  container: Docker.Container;
  at: Progress;
  order: Order;
  output: ExecutorJob['output'];
  /** Bytes that were handed to `output` by this process. */
  emitted: number;
  /** What the step prints, attached before it began; absent when it was begun by an earlier process. */
  attached?: AsyncIterable<unknown>;
};

class OutputLost extends Error {
  override name = 'OutputLost';
}

/** Takes the output to its end and tells how the container ended. What the attached stream misses is in the engine's log. */
export async function watch(step: Watched): Promise<Exit> {
  const ended = untilEnded(step.container, step.at);
  let whole = step.attached !== undefined;
  try {
    if (step.attached) whole = await managed(takeAttached(step, step.attached));
    while (!(await Promise.race([ended.then(() => true), sleep(lookMs, false)]))) {
      whole = false;
      await managed(takeFromLog(step, true));
    }
    const { engineWasAway, ...how } = await ended;
    const missing = !(whole && !engineWasAway) && !(await takeRest(step));
    // What a step prints while there is no engine is kept only if it still runs when the engine is back.
    const note = missing
      ? 'the engine has lost part of its output'
      : engineWasAway && 'the Docker Engine was away for a while, and may have lost some of its output';
    const exit = how.state
      ? exitOf({ ...how.state, ...asked(step.at), engineWasAway })
      : { lost: 'its container was removed by someone else' };
    return note && 'exitCode' in exit ? { ...exit, note: exit.note ? `${exit.note}; ${note}` : note } : exit;
  } catch (error) {
    if (!(error instanceof OutputLost)) throw error;
    ask(step.at, 'SIGKILL');
    await ended;
    return { error: `its output could not be kept: ${error.message}` };
  }
}

/** The stream of a container that is over ends; a little later the engine says so too. */
const lookMs = 1_000;

const asked = (at: Progress) => (at.asked ? { asked: at.asked } : {});

/** Whether it came to its end: an engine that goes away breaks it off. @throws OutputLost */
const managed = (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => true,
    (error: unknown) => {
      if (error instanceof OutputLost) throw error;
      return false;
    },
  );

async function takeAttached(step: Watched, source: AsyncIterable<unknown>): Promise<void> {
  for await (const piece of demultiplex(source)) {
    step.order.note(piece.stream, piece.bytes.length);
    await hand(step, piece);
  }
}

async function hand(step: Watched, { bytes }: Piece): Promise<void> {
  step.emitted += bytes.length;
  try {
    await step.output(bytes);
  } catch (error) {
    throw new OutputLost(messageOf(error));
  }
}

/**
 * Everything that the engine has kept, from the first byte on, without what was handed out already.
 * @param follow until the container ends; the engine may then leave out the last bytes
 * @returns how many bytes there were
 */
export async function takeFromLog(step: Watched, follow: boolean): Promise<number> {
  const known = step.order.total;
  const skip = step.emitted;
  let at = 0;
  const log = await openLog(step.container, follow);
  try {
    for await (const { stream, bytes } of inOrder(step.order.spans(), demultiplex(log))) {
      const fresh = bytes.subarray(Math.min(bytes.length, Math.max(0, skip - at)));
      at += bytes.length;
      if (fresh.length === 0) continue;
      if (at > known) step.order.note(stream, fresh.length);
      await hand(step, { stream, bytes: fresh });
    }
  } finally {
    log.destroy();
  }
  return at;
}

type Call = { path: string; method: 'GET' | 'POST'; options?: object };
type Dial = (
  call: Call & { isStream: true; statusCodes: Record<number, true | string> },
  done: (error: unknown, stream: Readable) => void,
) => void;

/**
 * An answer as a stream. dockerode's own calls read all of a log into memory when it is not to be followed, and one that waits never
 * settles when the engine goes away after it has begun to answer; reading this throws then.
 */
const dial = ({ modem }: Docker.Container, call: Call): Promise<Readable> =>
  new Promise((resolve, reject) => {
    const statusCodes = { 200: true, 404: 'no such container', 500: 'server error' } as const;
    (modem as { dial: Dial }).dial.call(modem, { ...call, isStream: true, statusCodes }, (error, stream) =>
      error ? reject(error) : resolve(stream),
    );
  });

export const openLog = (container: Docker.Container, follow: boolean): Promise<Readable> =>
  dial(container, { path: `/containers/${container.id}/logs?`, method: 'GET', options: { stdout: true, stderr: true, follow } });

/** Resolves when the container does not run (any more); throws when the engine goes away meanwhile. */
async function untilExit(container: Docker.Container): Promise<void> {
  for await (const _ of await dial(container, { path: `/containers/${container.id}/wait`, method: 'POST' })) {
    // its body comes when it has
  }
}

/**
 * Whether someone has sent the container a signal: docker kill, docker stop, or the engine that is being stopped itself. The engine
 * remembers its last few hundred events.
 */
async function wasSignalled(container: Docker.Container, startedAt: string): Promise<boolean> {
  const filters = JSON.stringify({ container: [container.id], event: ['kill'] });
  const options = { since: Math.floor(Date.parse(startedAt) / 1_000), until: (Date.now() / 1_000).toFixed(3), filters };
  try {
    for await (const _ of await dial(container, { path: '/events?', method: 'GET', options })) return true;
  } catch (error) {
    // The engine is away: it is asked again when it is back.
    if (statusOf(error) === undefined) throw error;
  }
  return false;
}

const restTries = 5;

/** Once it has ended. @returns whether nothing is missing @throws OutputLost */
async function takeRest(step: Watched): Promise<boolean> {
  for (let i = 0; i < restTries; i += 1) {
    const before = step.emitted;
    let kept = 0;
    if (
      await managed(
        takeFromLog(step, false).then((bytes) => {
          kept = bytes;
        }),
      )
    )
      return kept >= before;
    await sleep(lookMs);
  }
  return false;
}

type Ended = {
  /** Absent: the container is not there any more. */
  state?: Omit<Parameters<typeof exitOf>[0], 'asked' | 'engineWasAway'>;
  engineWasAway: boolean;
};

/** For as long as it takes: when the engine is away nobody knows whether the step runs, so it is not over. */
async function untilEnded(container: Docker.Container, at: Progress): Promise<Ended> {
  let engineWasAway = false;
  for (let waitMs = 100; ; ) {
    try {
      await untilExit(container);
      const { State, HostConfig } = await container.inspect();
      if (!State.Running) {
        at.ended = true;
        const signalled =
          !at.asked && !State.OOMKilled && isSignal(State.ExitCode) && (await wasSignalled(container, State.StartedAt));
        const { ExitCode: exitCode, OOMKilled: oomKilled } = State;
        return { state: { exitCode, oomKilled, signalled, memoryLimit: HostConfig.Memory ?? 0 }, engineWasAway };
      }
    } catch (error) {
      if (statusOf(error) === 404) {
        at.ended = true;
        return { engineWasAway };
      }
      engineWasAway = true;
      await sleep(waitMs);
      waitMs = Math.min(2 * waitMs, 5_000);
      send(at);
    }
  }
}

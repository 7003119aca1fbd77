import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { messageOf } from '../../protocol/errors.ts';
import { exitOf } from './docker-config.ts';
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
    const missing = whole && !engineWasAway ? false : !(await takeRest(step));
    const exit = how.state
      ? exitOf({ ...how.state, ...asked(step.at), engineWasAway })
      : { lost: 'its container was removed by someone else' };
    return missing && 'exitCode' in exit
      ? { ...exit, note: [exit.note, 'the engine has lost part of its output'].filter(Boolean).join('; ') }
      : exit;
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

type Dial = (
  call: { path: string; method: 'GET'; isStream: true; statusCodes: Record<number, true | string>; options: object },
  done: (error: unknown, stream: Readable) => void,
) => void;

/** As a stream in both cases: dockerode's own call reads all of it into memory when it is not to follow. */
export const openLog = ({ id, modem }: Docker.Container, follow: boolean): Promise<Readable> =>
  new Promise((resolve, reject) => {
    const { dial } = modem as { dial: Dial };
    dial.call(
      modem,
      {
        path: `/containers/${id}/logs?`,
        method: 'GET',
        isStream: true,
        statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
        options: { stdout: true, stderr: true, follow },
      },
      (error, stream) => (error ? reject(error) : resolve(stream)),
    );
  });

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
  state?: { exitCode: number; oomKilled: boolean; memoryLimit: number };
  engineWasAway: boolean;
};

/** For as long as it takes: when the engine is away nobody knows whether the step runs, so it is not over. */
async function untilEnded(container: Docker.Container, at: Progress): Promise<Ended> {
  let engineWasAway = false;
  for (let waitMs = 100; ; ) {
    try {
      await container.wait();
      const { State, HostConfig } = await container.inspect();
      if (!State.Running) {
        at.ended = true;
        const state = { exitCode: State.ExitCode, oomKilled: State.OOMKilled, memoryLimit: HostConfig.Memory ?? 0 };
        return { state, engineWasAway };
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

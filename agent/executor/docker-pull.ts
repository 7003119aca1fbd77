import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { messageOf } from '../../protocol/errors.ts';
import type { PullPolicy } from '../../protocol/job.ts';
import { CannotRun } from './command.ts';
import { isLatest, pullName } from './image-name.ts';

export type PullOptions = {
  docker: Docker;
  image: string;
  /** Absent: as Kubernetes does, always for ':latest', else if it is not there. */
  policy: PullPolicy | undefined;
  /** Gets a line for people, without its end. */
  say: (line: string) => Promise<void>;
  /** Ends the pull. */
  signal: AbortSignal;
  /** A registry that says nothing for so long is given up. */
  stalledMs?: number;
};

/** Sees to it that the image is there. @throws CannotRun, also when `signal` aborts */
export async function haveImage(options: PullOptions): Promise<Docker.ImageInspectInfo> {
  const { docker, image, say } = options;
  const name = pullName(image);
  const policy = options.policy ?? (isLatest(image) ? 'always' : 'if-not-present');
  const there = policy === 'always' ? undefined : await inspect(docker, name);
  if (there) return there;
  if (policy === 'never') throw new CannotRun(`image '${image}' is not on this node, and its pull policy is 'never'`);
  const begun = performance.now();
  await say(`pulling image ${image}`);
  try {
    await pull(options, name);
    const pulled = await docker.getImage(name).inspect();
    await say(`pulled image ${image} in ${((performance.now() - begun) / 1_000).toFixed(1)} s`);
    return pulled;
  } catch (error) {
    throw new CannotRun(`image '${image}' could not be pulled: ${reasonOf(error)}`);
  }
}

const inspect = (docker: Docker, name: string): Promise<Docker.ImageInspectInfo | undefined> =>
  docker
    .getImage(name)
    .inspect()
    .catch((error: unknown) => {
      if (statusOf(error) === 404) return undefined;
      throw error;
    });

const defaultStalledMs = 5 * 60_000;

async function pull({ docker, signal, stalledMs = defaultStalledMs }: PullOptions, name: string): Promise<void> {
  const stalled = new AbortController();
  const arm = () => setTimeout(() => stalled.abort(new Error(`nothing was heard of it for ${stalledMs / 1_000} s`)), stalledMs);
  let timer = arm();
  try {
    const stream = (await docker.pull(name, { abortSignal: AbortSignal.any([signal, stalled.signal]) })) as Readable;
    for await (const line of createInterface(stream)) {
      clearTimeout(timer);
      timer = arm();
      const { error } = JSON.parse(line) as { error?: string };
      if (error) throw new Error(error);
    }
  } catch (error) {
    throw stalled.signal.aborted ? stalled.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** What the engine says in its own words, on one line. */
export function reasonOf(error: unknown): string {
  const said = (error as { json?: { message?: unknown } } | undefined)?.json?.message;
  return (typeof said === 'string' ? said : messageOf(error)).replaceAll(/\s+/g, ' ').slice(0, 1_000);
}

/** The HTTP status of an answer of the engine; undefined when there was no answer. */
export const statusOf = (error: unknown): number | undefined => (error as { statusCode?: number } | undefined)?.statusCode;

import type { Manifest } from '../../protocol/artifact.ts';
import { isFarmError } from '../../protocol/errors.ts';
import type { Run, StepState } from '../../protocol/run.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';
import { checkoutStep, countedAttempt } from './counted.ts';
import type { RunPlaces } from './published.ts';
import { readManifest, stagedFile } from './staged.ts';

/** What the run's index says about a step. missing: artifacts of which nothing is stored under their published name. */
export type StepIndex = {
  step: string;
  state: StepState;
  attempt?: number;
  artifacts?: { files: number; sizeBytes: number; refused: number; missing: string[] };
};

export type PublishedArtifacts = {
  steps: StepIndex[];
  /** The commit that the checkout has made of the refs. */
  finalSha?: string;
  metadata: Record<string, unknown>;
};

const atOnce = 8;
const mostSmallBytes = 1024 * 1024;
const mostMissingNamed = 100;

/** Gives the artifacts of the attempts that count the names under which they are found. */
export async function publishArtifacts(
  run: Run,
  places: RunPlaces,
  objects: Objects,
  signal?: AbortSignal,
): Promise<PublishedArtifacts> {
  const published: PublishedArtifacts = { steps: [], metadata: {} };
  for (const { name: step, state } of run.at) {
    const counted = countedAttempt(run, step);
    if (!counted) {
      published.steps.push({ step, state });
      continue;
    }
    const index: StepIndex = { step, state, attempt: counted.attempt };
    published.steps.push(index);
    const key = { run: run.id, step, attempt: counted.attempt };
    const manifest = counted.manifest === undefined ? undefined : await readManifest(objects, key, counted.manifest);
    if (!manifest) continue;
    const missing = await copyAll(key, manifest, places, objects, signal);
    const sizeBytes = manifest.files.reduce((sum, f) => sum + f.sizeBytes, 0);
    index.artifacts = {
      files: manifest.files.length,
      sizeBytes,
      refused: manifest.refusedCount,
      missing: missing.sort().slice(0, mostMissingNamed),
    };
    await readKnown(key, manifest, places, objects, published);
  }
  return published;
}

/** Copies what is not there yet. @returns the paths of what cannot be there */
async function copyAll(
  key: AttemptKey,
  { files }: Manifest,
  places: RunPlaces,
  objects: Objects,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const missing: string[] = [];
  const left = files.values();
  const work = async () => {
    for (const { path } of left) {
      signal?.throwIfAborted();
      const to = places.artifact(key.step, path);
      try {
        if (await objects.copy(stagedFile(key, path), to)) continue;
        // An earlier archiving was through with it.
        const there = await objects.read(to, { start: 0, end: 0 });
        there?.destroy();
        if (!there) missing.push(path);
      } catch (error) {
        // With all that stands before it the name is too long.
        if (!isFarmError(error, 'BAD_OBJECT_KEY')) throw error;
        missing.push(path);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return missing;
}

/** Files that say something about the run: the user's `metadata.json`, as Prow merges it, and what the checkout has done. */
async function readKnown(
  key: AttemptKey,
  { files }: Manifest,
  places: RunPlaces,
  objects: Objects,
  into: PublishedArtifacts,
): Promise<void> {
  const json = async (path: string): Promise<unknown> => {
    if (!files.some((f) => f.path === path && f.sizeBytes <= mostSmallBytes)) return undefined;
    const body = await objects.get(places.artifact(key.step, path));
    return body && JSON.parse(body.toString('utf8'));
  };
  try {
    const metadata = await json('metadata.json');
    if (typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata))
      into.metadata = { ...into.metadata, ...metadata };
    if (key.step !== checkoutStep) return;
    const records = await json('clone-records.json');
    const sha = Array.isArray(records) ? records.map(finalShaOf).find((s) => s !== undefined) : undefined;
    if (sha !== undefined) into.finalSha = sha;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    into.metadata = { ...into.metadata, 'sidecar-errors': `step ${key.step}: metadata.json is no JSON` };
  }
}

const finalShaOf = (record: unknown): string | undefined => {
  const sha = typeof record === 'object' && record !== null && 'final_sha' in record ? record.final_sha : undefined;
  return typeof sha === 'string' && /^[0-9a-f]{40,64}$/.test(sha) ? sha : undefined;
};

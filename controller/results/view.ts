import type { Readable } from 'node:stream';
import type { ArtifactList, JUnitAnswer, Manifest } from '../../protocol/artifact.ts';
import { FarmError } from '../../protocol/errors.ts';
import type { Run } from '../../protocol/run.ts';
import { type AttemptKey, keyOf } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';
import { countedAttempts } from './counted.ts';
import { type Publishing, placesOf } from './published.ts';
import { readJUnit, readManifest, stagedFile } from './staged.ts';

export type ViewDeps = { objects: Objects; publishing: Publishing };
export type ArtifactFile = {
  sizeBytes: number;
  sha256: string;
  read: (range?: { start: number; end?: number }) => Promise<Readable>;
};

const mostListed = 10_000;
const mostManifests = 16;

/** What people may see of a run's artifacts: of each step that is settled, those of the attempt that counts. */
export function artifactViews({ objects, publishing }: ViewDeps) {
  /** The newest stand last. */
  const manifests = new Map<string, Manifest>();
  const manifestOf = async (key: AttemptKey, sha256: string): Promise<Manifest | undefined> => {
    const name = `${keyOf(key)} ${sha256}`;
    const manifest = manifests.get(name) ?? (await readManifest(objects, key, sha256));
    if (!manifest) return undefined;
    manifests.delete(name);
    manifests.set(name, manifest);
    const [oldest] = manifests.keys();
    if (manifests.size > mostManifests && oldest !== undefined) manifests.delete(oldest);
    return manifest;
  };
  async function* counted(run: Run, step?: string): AsyncGenerator<{ key: AttemptKey; manifest: Manifest }> {
    for (const { key, attempt } of countedAttempts(run)) {
      if (attempt.manifest === undefined || (step !== undefined && key.step !== step)) continue;
      const manifest = await manifestOf(key, attempt.manifest);
      if (manifest) yield { key, manifest };
    }
  }

  return {
    list: async (run: Run, step?: string): Promise<ArtifactList> => {
      const list: ArtifactList = { files: [], truncated: false, refused: [], refusedCount: 0 };
      for await (const { key, manifest } of counted(run, step)) {
        const room = mostListed - list.files.length;
        list.truncated ||= manifest.files.length > room;
        for (const file of manifest.files.slice(0, room)) list.files.push({ ...file, step: key.step, attempt: key.attempt });
        for (const refused of manifest.refused) list.refused.push({ step: key.step, ...refused });
        list.refusedCount += manifest.refusedCount;
      }
      return list;
    },

    /** @throws FarmError NOT_FOUND */
    file: async (run: Run, step: string, path: string): Promise<ArtifactFile> => {
      const missing = new FarmError('NOT_FOUND', { what: `artifact '${`${step}/${path}`.slice(0, 200)}' of run ${run.id}` });
      for await (const { key, manifest } of counted(run, step)) {
        const file = manifest.files.find((f) => f.path === path);
        if (!file) continue;
        const published = placesOf(run, publishing).artifact(step, path);
        return {
          sizeBytes: file.sizeBytes,
          sha256: file.sha256,
          read: async (range) => {
            // It may be moved between the first look and the second.
            for (const at of [published, stagedFile(key, path), published]) {
              const body = await objects.read(at, range);
              if (body) return body;
            }
            throw missing;
          },
        };
      }
      throw missing;
    },

    junit: async (run: Run): Promise<JUnitAnswer> => {
      const answer: JUnitAnswer = { tests: 0, failures: 0, errors: 0, skipped: 0, timeS: 0, files: [] };
      for (const { key, attempt } of countedAttempts(run)) {
        if (attempt.manifest === undefined) continue;
        for (const file of await readJUnit(objects, key)) {
          answer.files.push({ ...file, step: key.step, attempt: key.attempt });
          for (const name of ['tests', 'failures', 'errors', 'skipped', 'timeS'] as const) answer[name] += file[name];
        }
      }
      return answer;
    },
  };
}
export type ArtifactViews = ReturnType<typeof artifactViews>;

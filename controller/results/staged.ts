import { createHash } from 'node:crypto';
import { Value } from 'typebox/value';
import { type JUnitFile, Manifest } from '../../protocol/artifact.ts';
import type { AttemptKey } from '../../protocol/task.ts';
import type { Objects } from '../store/objects.ts';

/*
 * What an attempt has sent, where nobody sees it: whether it counts is decided when its run's events say so.
 */

const stagedPrefix = (a: AttemptKey): string => `staged/${a.run}/${a.step}/${a.attempt}/`;
export const stagedFiles = (a: AttemptKey): string => `${stagedPrefix(a)}files/`;
const junitPrefix = (a: AttemptKey): string => `${stagedPrefix(a)}junit/`;

/** @param path one without an `artifactPathProblem` */
export const stagedFile = (a: AttemptKey, path: string): string => stagedFiles(a) + path;
export const stagedManifest = (a: AttemptKey): string => `${stagedPrefix(a)}manifest.json`;
/** The test reports of a whole attempt. */
export const stagedJUnit = (a: AttemptKey): string => `${stagedPrefix(a)}junit.json`;
/** The report of one file. */
export const stagedReport = (a: AttemptKey, path: string): string =>
  `${junitPrefix(a)}${createHash('sha256').update(path).digest('hex').slice(0, 40)}.json`;

type Get = Pick<Objects, 'get'>;

/** The list of an attempt's artifacts, if it is the one that the attempt's end names. */
export async function readManifest(objects: Get, a: AttemptKey, sha256: string): Promise<Manifest | undefined> {
  const body = await objects.get(stagedManifest(a));
  if (!body || createHash('sha256').update(body).digest('hex') !== sha256) return undefined;
  const manifest: unknown = JSON.parse(body.toString('utf8'));
  return Value.Check(Manifest, manifest) ? manifest : undefined;
}

/** What this farm itself has written before. */
export async function readJUnit(objects: Get, a: AttemptKey): Promise<JUnitFile[]> {
  const body = await objects.get(stagedJUnit(a));
  return body ? (JSON.parse(body.toString('utf8')) as JUnitFile[]) : [];
}

const mostReports = 500;
const mostFailures = 1_000;

/** Puts the reports of those of an attempt's files that its manifest names into one. */
export async function joinReports(objects: Objects, a: AttemptKey, { files }: Manifest): Promise<void> {
  const named = new Map(files.map(({ path }) => [stagedReport(a, path), path]));
  const reports: JUnitFile[] = [];
  let failures = 0;
  for await (const { key } of objects.list(junitPrefix(a))) {
    if (!named.has(key) || reports.length >= mostReports) continue;
    const body = await objects.get(key);
    if (!body) continue;
    const report = JSON.parse(body.toString('utf8')) as JUnitFile;
    const failed = report.failed.slice(0, mostFailures - failures);
    failures += failed.length;
    reports.push({ ...report, failed, more: report.more + report.failed.length - failed.length });
  }
  if (reports.length === 0) return;
  reports.sort((x, y) => (x.path < y.path ? -1 : 1));
  await objects.put(stagedJUnit(a), Buffer.from(JSON.stringify(reports)));
}

/** Removes an attempt's files; the list of them and the test reports stay. */
export async function removeStaged(objects: Objects, a: AttemptKey, signal?: AbortSignal): Promise<void> {
  for (const prefix of [stagedFiles(a), junitPrefix(a)])
    for await (const { key } of objects.list(prefix)) {
      signal?.throwIfAborted();
      await objects.remove(key);
    }
}

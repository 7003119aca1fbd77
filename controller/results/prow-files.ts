import type { Refs } from '../../protocol/change.ts';
import { repoOf } from '../../protocol/change.ts';
import type { Run, RunState } from '../../protocol/run.ts';

/*
 * The files of a run's directory that Prow's tools read, as pure functions of the run. Absent values are left out by JSON.
 */

const seconds = (ms: number): number => Math.floor(ms / 1000);
const rfc3339 = (ms: number): string => new Date(seconds(ms) * 1000).toISOString().replace('.000Z', 'Z');

/** `main:BASE,7:HEAD`, as PULL_REFS. */
export const refsText = ({ baseRef, baseSha, pulls }: Refs): string =>
  [`${baseRef}${baseSha ? `:${baseSha}` : ''}`, ...pulls.map((p) => `${p.number}:${p.sha}`)].join(',');

/** @param finalSha what the checkout has made of the refs, when it is known */
export function startedJson(run: Run, finalSha?: string): object {
  const { refs } = run;
  const [pull, ...others] = refs?.pulls ?? [];
  const commit = refs && (finalSha ?? pull?.sha ?? refs.baseSha ?? refs.baseRef);
  return {
    timestamp: seconds(run.startedAtMs ?? run.createdAtMs),
    ...(pull && others.length === 0 ? { pull: String(pull.number) } : {}),
    ...(refs ? { repos: { [repoOf(refs)]: refsText(refs) }, 'repo-commit': commit, 'repo-version': commit } : {}),
    ...nodeOf(run),
  };
}

const nodeOf = (run: Run): object => {
  const agent = run.home ?? run.at.flatMap((s) => s.attempts).at(0)?.agent;
  return agent === undefined ? {} : { node: agent };
};

/** Prow's sidecar has no word for a run that could not be tried; its `crier` says the state, which readers take in either case. */
const results: Record<string, string> = { passed: 'SUCCESS', failed: 'FAILURE', cancelled: 'ABORTED', errored: 'ERROR' };

/** @param metadata what the steps have left in `metadata.json` */
export function finishedJson(run: Run, finalSha: string | undefined, metadata: Record<string, unknown>): object {
  const revision = run.refs && (finalSha ?? run.refs.pulls[0]?.sha ?? run.refs.baseSha);
  return {
    timestamp: seconds(run.endedAtMs ?? run.createdAtMs),
    passed: run.state === 'passed',
    result: results[run.state] ?? 'FAILURE',
    ...(revision === undefined ? {} : { revision }),
    ...(Object.keys(metadata).length > 0 ? { metadata } : {}),
  };
}

const states: Record<RunState, string> = {
  queued: 'triggered',
  running: 'pending',
  stopping: 'pending',
  passed: 'success',
  failed: 'failure',
  errored: 'error',
  cancelled: 'aborted',
};

/** A ProwJob as far as its readers look; a run of the farm is no object of a cluster. */
export function prowJobJson(run: Run): object {
  const { refs } = run;
  const [pull] = refs?.pulls ?? [];
  // Prow has no word for a run that a person started without a pull request.
  const type =
    run.type === 'manual' ? (refs?.pulls.length === 1 ? 'presubmit' : refs?.pulls.length ? 'batch' : 'periodic') : run.type;
  const labels = {
    'created-by-prow': 'true',
    'prow.k8s.io/build-id': run.id,
    'prow.k8s.io/type': type,
    'prow.k8s.io/context': label(run.context),
    'prow.k8s.io/job': label(run.job),
    ...(refs ? { 'prow.k8s.io/refs.org': label(refs.org), 'prow.k8s.io/refs.repo': label(refs.repo) } : {}),
    ...(refs ? { 'prow.k8s.io/refs.base_ref': label(refs.baseRef) } : {}),
    ...(pull ? { 'prow.k8s.io/refs.pull': String(pull.number) } : {}),
  };
  return {
    kind: 'ProwJob',
    apiVersion: 'prow.k8s.io/v1',
    metadata: {
      name: run.id,
      creationTimestamp: rfc3339(run.createdAtMs),
      labels,
      annotations: { 'prow.k8s.io/job': run.job, 'prow.k8s.io/context': run.context },
    },
    spec: {
      type,
      agent: 'thresh',
      job: run.job,
      ...(refs ? { refs: prowRefs(refs) } : {}),
      report: !run.skipReport,
      context: run.context,
    },
    status: {
      startTime: rfc3339(run.createdAtMs),
      ...(run.startedAtMs === undefined ? {} : { pendingTime: rfc3339(run.startedAtMs) }),
      ...(run.endedAtMs === undefined ? {} : { completionTime: rfc3339(run.endedAtMs) }),
      state: states[run.state],
      ...(run.reason ? { description: run.reason } : {}),
      build_id: run.id,
    },
  };
}

/** A label holds 63 characters, and begins and ends with a letter or digit. */
const label = (text: string): string =>
  text
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 63)
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '');

const prowRefs = (refs: Refs): object => ({
  org: refs.org,
  repo: refs.repo,
  base_ref: refs.baseRef,
  base_sha: refs.baseSha,
  ...(refs.pulls.length > 0
    ? {
        pulls: refs.pulls.map((p) => ({
          number: p.number,
          author: p.author,
          sha: p.sha,
          title: p.title,
          head_ref: p.headRef,
          link: p.link,
        })),
      }
    : {}),
  path_alias: refs.pathAlias,
  clone_uri: refs.cloneUri,
});

/** As Prow writes it. */
export const prowJson = (value: object, indent = ''): Buffer => Buffer.from(JSON.stringify(value, undefined, indent));

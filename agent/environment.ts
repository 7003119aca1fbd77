import { repoOf } from '../protocol/change.ts';
import type { Task } from '../protocol/task.ts';

/**
 * The variables of a step beyond those of a plain shell: what it is, then its own, then its secrets. The names of Prow's are those of Prow
 * (`BUILD_ID`, `JOB_NAME`, `PULL_*`), so that its scripts run as they are.
 */
export function stepEnvironment(task: Task, secrets: Record<string, string>): Record<string, string> {
  const env: Record<string, string> = {
    CI: 'true',
    THRESH: 'true',
    THRESH_RUN: task.run,
    THRESH_STEP: task.step,
    THRESH_JOB: task.job,
    BUILD_ID: task.run,
    JOB_NAME: task.job,
    JOB_TYPE: task.type,
    ...refsEnvironment(task),
  };
  for (const { name, value } of task.spec.env) env[name] = value;
  return { ...env, ...secrets };
}

function refsEnvironment({ refs }: Task): Record<string, string> {
  if (!refs) return {};
  const [pull] = refs.pulls;
  const parts = [`${refs.baseRef}${refs.baseSha ? `:${refs.baseSha}` : ''}`, ...refs.pulls.map((p) => `${p.number}:${p.sha}`)];
  return {
    THRESH_REPO: repoOf(refs),
    REPO_OWNER: refs.org,
    REPO_NAME: refs.repo,
    PULL_BASE_REF: refs.baseRef,
    ...(refs.baseSha ? { PULL_BASE_SHA: refs.baseSha } : {}),
    PULL_REFS: parts.join(','),
    ...(pull && refs.pulls.length === 1
      ? { PULL_NUMBER: String(pull.number), PULL_PULL_SHA: pull.sha, ...(pull.headRef ? { PULL_HEAD_REF: pull.headRef } : {}) }
      : {}),
  };
}

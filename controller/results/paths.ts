import type { Run } from '../../protocol/run.ts';
import { toToken } from '../../protocol/token.ts';

/** Where results lie, as Prow's tools look for them. */
export type Layout = {
  /** Which pull requests have a directory named for their repository. */
  strategy: 'legacy' | 'single' | 'explicit';
  /** What the strategies leave out; Prow's own farm has kubernetes/kubernetes. */
  defaultOrg: string;
  defaultRepo: string;
  /** Before each run's own directory, not before the pointers to it; '' or with a slash at its end. */
  pathPrefix: string;
};
export const prowLayout: Layout = { strategy: 'legacy', defaultOrg: '', defaultRepo: '', pathPrefix: '' };

export type ResultPaths = {
  /** The run's own directory, without a slash at its end. */
  dir: string;
  /** Each holds the id of the newest run. */
  latest: string[];
  /** Holds where `dir` is. */
  alias?: string;
  /** The directory in which all runs of the job can be found. */
  root: string;
};

/**
 * The layout of Prow's bucket, for any run. A run that a person started lies where one of its kind would: with one pull request as a
 * presubmit, with several as a batch, with none as a periodic.
 */
export function resultPaths({ id, job, type, refs }: Pick<Run, 'id' | 'job' | 'type' | 'refs'>, layout: Layout): ResultPaths {
  const name = part(job);
  const [pull] = refs?.pulls ?? [];
  if (refs && pull && isOfPull(type, refs.pulls.length)) {
    const ofPull = join('pr-logs/pull', repoPart(refs, layout), String(pull.number), name);
    const root = `pr-logs/directory/${name}`;
    return {
      dir: `${layout.pathPrefix}${ofPull}/${id}`,
      latest: [`${root}/latest-build.txt`, `${ofPull}/latest-build.txt`],
      alias: `${root}/${id}.txt`,
      root,
    };
  }
  if (pull && (type === 'batch' || type === 'manual')) {
    const root = `pr-logs/directory/${name}`;
    return { dir: `${layout.pathPrefix}pr-logs/pull/batch/${name}/${id}`, latest: [`${root}/latest-build.txt`], root };
  }
  const root = `logs/${name}`;
  return { dir: `${layout.pathPrefix}${root}/${id}`, latest: [`${root}/latest-build.txt`], root };
}

const isOfPull = (type: Run['type'], pulls: number): boolean => type === 'presubmit' || (type === 'manual' && pulls === 1);

/** The part that stands for the repository; '' when the strategy leaves it out. */
function repoPart(refs: { org: string; repo: string }, { strategy, defaultOrg, defaultRepo }: Layout): string {
  const [org, repo] = [refs.org.replace(/^https?:\/\//, ''), refs.repo];
  const ofDefault = org === defaultOrg && defaultOrg !== '';
  if (strategy !== 'explicit' && ofDefault && repo === defaultRepo) return '';
  return part(strategy === 'legacy' && ofDefault ? repo : `${org}_${repo}`);
}

const join = (...parts: string[]): string => parts.filter((p) => p !== '').join('/');

/** One part of a path, whatever the name: a slash becomes an underscore, and what no path can hold is hashed. */
function part(name: string): string {
  const flat = name.replaceAll('/', '_');
  const plain = flat !== '.' && flat !== '..' && flat.isWellFormed() && !/[\p{Cc}\\]/u.test(flat);
  return plain && Buffer.byteLength(flat) <= 255 && flat !== '' ? flat : toToken(flat);
}

/** Whether `id` is the newer run: of two numbers of which JavaScript cannot hold one. */
export const isNewer = (id: string, than: string): boolean => (/^\d{1,20}$/.test(than) ? BigInt(id) > BigInt(than) : true);

import type { Run } from '../../protocol/run.ts';
import { checkoutStep, onlyStep } from './counted.ts';
import { type Layout, type ResultPaths, resultPaths } from './paths.ts';

/** Where a farm publishes, in its object storage. */
export type Publishing = {
  layout: Layout;
  /** Stands before everything that is published: '' or with a slash at its end. */
  prefix: string;
  /** How tools outside reach what stands behind `prefix`: `s3://BUCKET/PREFIX`, without a slash at its end. */
  url: string;
};

export type RunPlaces = ResultPaths & {
  /** The key of a file of the run's directory. */
  file: (name: string) => string;
  /** The key of a step's artifact. */
  artifact: (step: string, path: string) => string;
  /** The key of a step's own log. */
  log: (step: string) => string;
};

const ofCheckout = new Set(['clone-records.json', 'clone-log.txt']);

/** Where the files of an ended run stand. */
export function placesOf(run: Run, { layout, prefix }: Publishing): RunPlaces {
  const paths = resultPaths(run, layout);
  const only = onlyStep(run);
  const file = (name: string) => `${prefix}${paths.dir}/${name}`;
  return {
    ...paths,
    file,
    artifact: (step, path) => {
      if (step === only) return file(`artifacts/${path}`);
      return file(step === checkoutStep && ofCheckout.has(path) ? path : `artifacts/${step}/${path}`);
    },
    // As the logs of several containers are called.
    log: (step) => file(`${step}-build-log.txt`),
  };
}

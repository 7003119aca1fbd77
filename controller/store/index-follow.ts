import { isFarmError } from '../../protocol/errors.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';
import type { Confirmed, Folded } from './confirmed.ts';
import { openIndex, type RunIndex } from './index.ts';
import type { Log } from './log.ts';
import type { Objects } from './objects.ts';
import { readRunDocument, runDocuments } from './run-documents.ts';

export type IndexFollowDeps = {
  file: string;
  confirmed: Confirmed;
  objects: Objects;
  log: Log;
  keep: { keepRuns: number; keepDeliveries: number };
};

/**
 * Keeps `index.db` up with the confirmed state, many records in one transaction; what was purged before the index saw it is filled in from object
 * storage. A damaged file is made anew. Call it before anything was folded.
 */
export function followIndex({ file, confirmed, objects, log, keep }: IndexFollowDeps): {
  index: () => RunIndex;
  stop: () => void;
} {
  let index = openIndex(file);
  let batch: Folded[] = [];
  let scheduled = false;
  let sincePrune = 0;

  const reopen = () => {
    log.warn({ file }, 'the index was damaged; it is made anew');
    index = openIndex(file);
    for (const run of confirmed.farm.runs.values()) index.putRun(run);
    void fill();
  };
  const guarded = (work: () => void) => {
    try {
      work();
    } catch (error) {
      if (isFarmError(error, 'INDEX_DAMAGED')) reopen();
      else log.error({ err: error }, 'the index could not be written; lists may lack what is new');
    }
  };
  const flush = () => {
    scheduled = false;
    const next = batch;
    batch = [];
    guarded(() => index.fold(next));
    sincePrune += next.length;
    if (sincePrune < pruneEvery) return;
    sincePrune = 0;
    guarded(() => index.prune(keep));
  };
  /** Documents that the index lacks, newest first, as many as it keeps. */
  const fill = async () => {
    const ids: string[] = [];
    for await (const id of runDocuments(objects)) ids.push(id);
    for (const id of ids.slice(-keep.keepRuns)) {
      if (index.run(id)) continue;
      const run: Run | undefined = await readRunDocument(objects, id);
      if (run && hasEnded(run)) guarded(() => index.putRun(run));
    }
  };

  const first = index.position() + 1;
  let isFirst = true;
  const stopListening = confirmed.listen((folded) => {
    if (isFirst && folded.seq > first)
      void fill().catch((error) => log.warn({ err: error }, 'the index could not be filled from object storage'));
    isFirst = false;
    batch.push(folded);
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  });
  return {
    index: () => index,
    stop: () => {
      stopListening();
      if (batch.length > 0) flush();
      index.close();
    },
  };
}

const pruneEvery = 50_000;

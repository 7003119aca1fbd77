import { decide } from '../../protocol/dag.ts';
import type { FarmError } from '../../protocol/errors.ts';
import type { Farm } from '../../protocol/farm.ts';
import { type FarmRecord, type Positions, recordVersion } from '../../protocol/record.ts';
import type { Run, RunEvent } from '../../protocol/run.ts';
import type { RunsWriter } from '../store/writer.ts';

/** A record before it gets what all records carry. */
type Body<R = FarmRecord> = R extends FarmRecord ? Omit<R, 'v' | 'term' | 'nth' | 'atMs' | 'positions'> : never;

/** Most appends that the leader is ahead of what is stored. */
const maxAhead = 1_000;

/**
 * The leader's own state: what is stored plus what it has sent. Each decision is made on it, sent, and folded into it at once; effects
 * wait for `stored`. When an append fails, all of it is dropped.
 */
export class Deciding {
  readonly farm: Farm;
  readonly term: number;
  /** How far the inputs are settled; every record carries it. */
  readonly positions: Positions;
  readonly #writer: RunsWriter;
  readonly #wallMs: () => number;
  readonly #touched: (run: Run) => void;
  readonly #failed: (error: FarmError) => void;
  #last: Promise<void> = Promise.resolve();

  constructor(deps: {
    farm: Farm;
    term: number;
    writer: RunsWriter;
    wallMs: () => number;
    /** Called for each run that a decision has changed, after the fold. */
    touched: (run: Run) => void;
    /** Called for each append that failed. */
    failed: (error: FarmError) => void;
  }) {
    this.farm = deps.farm;
    this.term = deps.term;
    this.positions = { ...deps.farm.positions };
    this.#writer = deps.writer;
    this.#wallMs = deps.wallMs;
    this.#touched = deps.touched;
    this.#failed = deps.failed;
  }

  /** Sends a record and folds it. @returns resolves to true once stored, to false when it was not; never rejects */
  commit(body: Body): Promise<boolean> {
    const record = {
      ...body,
      v: recordVersion,
      term: this.term,
      nth: this.farm.nth + 1,
      atMs: this.#wallMs(),
      positions: { ...this.positions },
    } as FarmRecord;
    const stored = this.#writer.append(record);
    this.#last = stored.catch(() => {});
    for (const id of this.farm.fold(record, this.farm.seq + 1)) {
      const run = this.farm.runs.get(id);
      if (run) this.#touched(run);
    }
    return stored.then(
      () => true,
      (error: FarmError) => {
        this.#failed(error);
        return false;
      },
    );
  }

  /** Makes something happen to a run, with all that follows from it, as one record. */
  act(run: Run, cause: RunEvent): Promise<boolean> {
    return this.record(run, decide(run, cause, this.#wallMs()).events);
  }

  record(run: Run, events: RunEvent[]): Promise<boolean> {
    return this.commit({ type: 'run', run: run.id, n: run.n + 1, events });
  }

  /** Resolves when there is room for another decision. */
  async room(): Promise<void> {
    while (this.#writer.pending >= maxAhead && !this.#writer.broken) await this.#last;
  }
}

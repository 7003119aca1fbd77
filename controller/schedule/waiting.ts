import TinyQueue from 'tinyqueue';
import type { Priority } from '../../protocol/job.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';

/** A step that is ready for an agent. */
export type Ready = { run: string; step: string };

/** What of an agent decides which tasks it can take. */
export type Taker = { agent: string; queues: readonly string[]; trust: 'trusted' | 'any'; shared: boolean; homeOnly: boolean };

type Item = Ready & { rank: number; lane: string };

const ranks: Record<Priority, number> = { high: 0, normal: 1, low: 2 };

/**
 * The tasks that wait, folded from runs: `put` after each change of one. They stand in lanes, each ordered by priority, then age; all in
 * a lane are held back by the same thing (no room in their job, their home agent), so finding the next one never looks at those behind.
 */
export class Waiting {
  readonly #lanes = new Map<string, TinyQueue<Item>>();
  /** Lanes of runs that have not started and whose job has a limit, by queue, trust and workspace. */
  readonly #limited = new Map<string, Set<string>>();
  /** The lane in which each ready step stands now; entries of other lanes are stale. */
  readonly #placed = new Map<string, Map<string, string>>();
  readonly #running = new Map<string, Set<string>>();
  readonly #isPaused: (queue: string) => boolean;

  constructor(isPaused: (queue: string) => boolean) {
    this.#isPaused = isPaused;
  }

  /** Takes note of a run as it is now. */
  put(run: Run): void {
    this.#count(run);
    const before = this.#placed.get(run.id);
    const now = new Map<string, string>();
    run.at.forEach((step, i) => {
      if (step.state !== 'ready' || hasEnded(run)) return;
      const shape = run.steps[i];
      if (!shape) return;
      const lane = laneOf(run, shape.queue);
      now.set(step.name, lane.name);
      if (before?.get(step.name) === lane.name) return;
      this.#lane(lane).push({ run: run.id, step: step.name, rank: ranks[run.priority], lane: lane.name });
    });
    if (now.size > 0) this.#placed.set(run.id, now);
    else this.#placed.delete(run.id);
  }

  /** The task that `taker` should get next; it stays here until `put` shows that it is not ready any more. */
  next(taker: Taker): Ready | undefined {
    let best: Item | undefined;
    const consider = (lane: string) => {
      const head = this.#head(lane);
      if (head && (!best || before(head, best) < 0)) best = head;
    };
    for (const queue of taker.queues) {
      if (this.#isPaused(queue)) continue;
      for (const trust of taker.trust === 'any' ? ['trusted', 'untrusted'] : ['trusted']) {
        consider(`home ${queue} ${trust} ${taker.agent}`);
        if (taker.homeOnly) continue;
        for (const storage of taker.shared ? ['local', 'shared'] : ['local']) {
          consider(`free ${queue} ${trust} ${storage}`);
          for (const lane of this.#limited.get(`${queue} ${trust} ${storage}`) ?? []) if (this.#hasRoom(lane)) consider(lane);
        }
      }
    }
    return best && { run: best.run, step: best.step };
  }

  /** How many tasks wait, held back or not. */
  get size(): number {
    let size = 0;
    for (const steps of this.#placed.values()) size += steps.size;
    return size;
  }

  #head(lane: string): Item | undefined {
    const heap = this.#lanes.get(lane);
    for (let head = heap?.peek(); heap && head; head = heap.peek()) {
      if (this.#placed.get(head.run)?.get(head.step) === lane) return head;
      heap.pop();
    }
    return undefined;
  }

  #lane({ name, limited }: Lane): TinyQueue<Item> {
    const lane = this.#lanes.get(name);
    if (lane) return lane;
    const made = new TinyQueue<Item>([], before);
    this.#lanes.set(name, made);
    if (limited) this.#limited.set(limited, (this.#limited.get(limited) ?? new Set()).add(name));
    return made;
  }

  /** Started runs of a job with a limit. */
  #count(run: Run): void {
    if (run.maxConcurrency === 0) return;
    const running = this.#running.get(run.job) ?? new Set();
    if (run.state === 'queued' || hasEnded(run)) running.delete(run.id);
    else running.add(run.id);
    if (running.size > 0) this.#running.set(run.job, running);
    else this.#running.delete(run.job);
  }

  #hasRoom(lane: string): boolean {
    const [, , , job = '', limit = '0'] = lane.split(' ');
    return (this.#running.get(job)?.size ?? 0) < Number(limit);
  }
}

type Lane = { name: string; limited?: string };

function laneOf(run: Run, queue: string): Lane {
  const who = `${queue} ${run.trusted ? 'trusted' : 'untrusted'}`;
  if (run.workspace === 'local' && run.home !== undefined) return { name: `home ${who} ${run.home}` };
  if (run.state === 'queued' && run.maxConcurrency > 0)
    return { name: `job ${who} ${run.job} ${run.maxConcurrency} ${run.workspace}`, limited: `${who} ${run.workspace}` };
  return { name: `free ${who} ${run.workspace}` };
}

/** Priority, then age. Run ids are equally long for centuries, so comparing them as text compares their ages. */
const before = (a: Item, b: Item): number => a.rank - b.rank || (a.run < b.run ? -1 : a.run > b.run ? 1 : 0);

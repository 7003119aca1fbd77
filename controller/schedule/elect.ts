import type { NatsConnection } from '@nats-io/transport-node';
import { messageOf } from '../../protocol/errors.ts';
import { recordVersion } from '../../protocol/record.ts';
import { type Heartbeat, heartbeatSubject } from '../../protocol/streams.ts';
import type { Times } from '../../protocol/times.ts';
import type { Confirmed } from '../store/confirmed.ts';
import type { Log } from '../store/log.ts';
import type { RunsWriter } from '../store/writer.ts';
import type { Lead } from './lead.ts';

export type ElectDeps = {
  nc: NatsConnection;
  confirmed: Confirmed;
  /** This controller's id; the same after a restart, so that it need not wait for itself. */
  id: string;
  times: Times;
  log: Log;
  /** Monotonic milliseconds. */
  now: () => number;
  wallMs: () => number;
  openWriter: (afterSeq: number) => RunsWriter;
  /** Makes the leader's part for a term that was won; it is started here. */
  lead: (term: number, writer: RunsWriter) => Lead;
};

/**
 * One controller's part in there being one leader: it waits while it hears a heartbeat of the newest term, and else reads `RUNS` to its end and
 * appends the next term, on condition that nobody wrote meanwhile. Leads until its writer fails.
 */
export class Elect {
  readonly #deps: ElectDeps;
  readonly #abort = new AbortController();
  #lead: Lead | undefined;
  #heardAtMs: number;
  #url = '';
  #wake: () => void = () => {};
  #done: Promise<void> = Promise.resolve();

  constructor(deps: ElectDeps) {
    this.#deps = deps;
    this.#heardAtMs = deps.now();
  }

  /** The leader's part, while this controller has it. */
  get lead(): Lead | undefined {
    return this.#lead;
  }

  /** Nobody leads, as far as is heard here. */
  get leaderless(): boolean {
    const { now, times } = this.#deps;
    return this.#lead === undefined && now() - this.#heardAtMs > times.takeoverMs;
  }

  /** @param url where this controller is reached, told to whoever asks for the leader */
  start(url: string): void {
    this.#url = url;
    this.#deps.nc.subscribe(heartbeatSubject, {
      callback: (_, m) => {
        const beat = m.json<Heartbeat>();
        if (beat.term < this.#deps.confirmed.farm.term) return;
        if (beat.leaving) return this.#succeed(beat);
        if (beat.id !== this.#deps.id) this.#heardAtMs = this.#deps.now();
        if (this.#lead && beat.term > this.#lead.term) this.#lead.stop(`term ${beat.term} has begun`);
      },
    });
    this.#deps.confirmed.listen(({ record }) => {
      if (record.type === 'leader') this.#heardAtMs = this.#deps.now();
    });
    this.#done = this.#loop();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake();
    this.#lead?.stop('this controller is stopping');
    await this.#done;
  }

  /** The leader says that it stops: whoever hears it need not wait for its silence. */
  #succeed(last: Heartbeat): void {
    if (last.id === this.#deps.id) return;
    this.#heardAtMs = Number.NEGATIVE_INFINITY;
    this.#wake();
  }

  async #loop(): Promise<void> {
    const { log, now } = this.#deps;
    let lastMs = now();
    while (!this.#abort.signal.aborted) {
      // A process that was paused has heard nothing meanwhile; that says nothing of the leader.
      if (now() - lastMs > pauseMs) this.#heardAtMs = now();
      try {
        if (await this.#isVacant()) await this.#tryToLead();
      } catch (error) {
        if (!this.#abort.signal.aborted) log.warn({ reason: messageOf(error) }, 'taking over failed; trying again');
      }
      lastMs = now();
      await this.#sleep(checkMs + Math.random() * checkMs);
    }
  }

  /** Nobody leads: no heartbeat for `takeoverMs`, or the leader was this very controller before it was started again, or there never was one. */
  async #isVacant(): Promise<boolean> {
    const { confirmed, id, now, times } = this.#deps;
    if (now() - this.#heardAtMs > times.takeoverMs) return true;
    await confirmed.toEnd(this.#abort.signal);
    return confirmed.farm.leader === id || confirmed.farm.term === 0;
  }

  async #tryToLead(): Promise<void> {
    const { confirmed, id, log, openWriter, wallMs } = this.#deps;
    const end = await confirmed.toEnd(this.#abort.signal);
    if (confirmed.farm.seq !== end) return;
    if (confirmed.farm.level > recordVersion)
      return log.error(
        { level: confirmed.farm.level },
        'RUNS was written by a newer version: this controller serves and does not lead',
      );
    const writer = openWriter(end);
    const term = confirmed.farm.term + 1;
    await writer.append({ v: recordVersion, type: 'leader', term, nth: 1, atMs: wallMs(), id, url: this.#url });
    await confirmed.until(end + 1, this.#abort.signal);
    log.info({ term, after: end }, 'leading');
    await this.#leadFor(term, writer);
  }

  async #leadFor(term: number, writer: RunsWriter): Promise<void> {
    const { id, lead, log, nc, times } = this.#deps;
    const url = this.#url;
    const leading = lead(term, writer);
    this.#lead = leading;
    const say = (leaving?: true) =>
      nc.publish(heartbeatSubject, JSON.stringify({ term, id, url, ...(leaving && { leaving }) } satisfies Heartbeat));
    say();
    const heartbeat = setInterval(() => say(), times.heartbeatMs);
    try {
      if (this.#abort.signal.aborted) leading.stop('this controller is stopping');
      await leading.start();
      log.info({ term, why: await leading.over }, 'not leading any more');
    } finally {
      clearInterval(heartbeat);
      leading.stop('over');
      this.#lead = undefined;
      this.#heardAtMs = this.#deps.now();
      if (this.#abort.signal.aborted && !nc.isClosed()) say(true);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const checkMs = 200;
const pauseMs = 1_000;

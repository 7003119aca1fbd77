import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import { natsErrors, type StreamSpec, streams } from '../../protocol/streams.ts';
import { versionAtLeast } from './nats-version.ts';
import { syncStore } from './sync-store.ts';

type StreamName = StreamSpec['name'];

export type StreamsOptions = {
  /** 1 for one server; 3 in a cluster. */
  replicas: number;
  /** Instead of what protocol/streams.ts says, and not scaled down. */
  maxBytes?: Partial<Record<StreamName, number>>;
  /** Where the server keeps them (`NatsFiles.storeDir`), when it is on this machine: their metadata is brought to the disk at once. */
  storeDir?: string;
};

/**
 * Makes every stream of the farm what it must be; may be called at each start, by several controllers at once. A stream that is there
 * keeps its size unless `maxBytes` names it.
 * @throws FarmError NATS_TOO_OLD for a cluster below 2.10; STREAM_UNUSABLE when one cannot be made or belongs to something else
 */
export async function ensureStreams(nc: NatsConnection, options: StreamsOptions): Promise<void> {
  const version = nc.info?.version ?? '0';
  if ((options.replicas > 1 || nc.info?.cluster) && !versionAtLeast(version, '2.10.0'))
    throw new FarmError('NATS_TOO_OLD', { version, need: '2.10.0', why: 'conditions on replicated streams are not safe before' });
  const jsm = await jetstreamManager(nc, { timeout: 10_000 });
  const there = await existing(jsm);
  const missing = streams.filter((s) => !there.has(s.name));
  if (options.storeDir) for (const { name } of missing) await refuseUnread(options.storeDir, name);
  const { limits } = await jsm.getAccountInfo();
  const reserved = [...there.values()].reduce((sum, s) => sum + Math.max(0, s.max_bytes), 0);
  let scale = scaleFor(missing, options, limits.max_storage > 0 ? limits.max_storage - reserved : Number.POSITIVE_INFINITY);
  for (const spec of streams) {
    const before = there.get(spec.name);
    if (before) await adjust(jsm, spec, before, options);
    else scale = await create(jsm, spec, options, scale);
  }
  if (options.storeDir) await syncStore(options.storeDir);
}

/** The size of a stream never goes below this: one block of the server's store and some messages. */
const leastBytes = 16 * 1024 * 1024;
const duplicateWindowNs = 100_000_000;
/** One per agent on `TASKS`, one per followed log on `LOGS`. Newer servers allow 1,000 unless told. */
const maxConsumers = 20_000;

/** Everything about a stream but its size. */
export const streamConfig = (spec: StreamSpec, replicas: number) =>
  ({
    name: spec.name,
    subjects: spec.subjects,
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_age: spec.maxAgeMs * 1_000_000,
    max_msgs: -1,
    max_msg_size: spec.maxMsgBytes,
    max_msgs_per_subject: spec.onePerSubject ? 1 : -1,
    discard_new_per_subject: spec.onePerSubject,
    max_consumers: maxConsumers,
    // Message ids are used nowhere; an agent that sets some must not shadow another's message for longer than this.
    duplicate_window: duplicateWindowNs,
    num_replicas: replicas,
    allow_direct: true,
    allow_rollup_hdrs: false,
    deny_delete: false,
    deny_purge: false,
  }) satisfies Partial<StreamConfig>;

/**
 * What part of their sizes the streams still to be made can have.
 * @param budget bytes that can still be reserved; Infinity when nobody knows
 */
export function scaleFor(
  missing: readonly StreamSpec[],
  { maxBytes = {} }: Pick<StreamsOptions, 'maxBytes'>,
  budget: number,
): number {
  const fixed = missing.reduce((sum, s) => sum + (maxBytes[s.name] ?? 0), 0);
  const scaled = missing.reduce((sum, s) => sum + (maxBytes[s.name] === undefined ? s.maxBytes : 0), 0);
  return scaled === 0 ? 1 : Math.max(0, Math.min(1, (budget - fixed) / scaled));
}

const sizeOf = (spec: StreamSpec, maxBytes: StreamsOptions['maxBytes'], scale: number): number =>
  maxBytes?.[spec.name] ?? Math.max(leastBytes, Math.floor(spec.maxBytes * scale));

/** A server that cannot read a stream's files starts without it, and making it anew would bury what they hold. */
async function refuseUnread(storeDir: string, stream: string): Promise<void> {
  const dir = join(storeDir, 'FARM', 'streams', stream);
  const files = await readdir(dir).catch((): string[] => []);
  if (files.length > 0)
    throw new FarmError('STREAM_UNUSABLE', {
      stream,
      detail: `the server did not read its files in ${dir}, its log says why; repair them, put them back from a copy, or move them away to begin without`,
    });
}

async function existing(jsm: JetStreamManager): Promise<Map<string, StreamConfig>> {
  const found = new Map<string, StreamConfig>();
  for await (const info of jsm.streams.list()) found.set(info.config.name, info.config);
  return found;
}

/** @returns the scale that the server accepted: it knows its disk, and says so only by refusing */
async function create(
  jsm: JetStreamManager,
  spec: StreamSpec,
  { replicas, maxBytes }: StreamsOptions,
  scale: number,
): Promise<number> {
  const max_bytes = sizeOf(spec, maxBytes, scale);
  try {
    await jsm.streams.add({ ...streamConfig(spec, replicas), max_bytes });
    return scale;
  } catch (error) {
    const code = error instanceof JetStreamApiError ? error.code : 0;
    const canShrink = maxBytes?.[spec.name] === undefined && max_bytes > leastBytes;
    if ((code === noStorage || code === natsErrors.insufficientResources) && canShrink)
      return create(jsm, spec, { replicas, ...(maxBytes ? { maxBytes } : {}) }, scale / 2);
    if (code === nameInUse) {
      // Another controller was faster, with sizes of its own.
      await adjust(jsm, spec, (await jsm.streams.info(spec.name)).config, { replicas });
      return scale;
    }
    throw new FarmError('STREAM_UNUSABLE', { stream: spec.name, detail: messageOf(error) }, { cause: error });
  }
}

/** Codes of JetStream: "insufficient storage resources available", "stream name already in use". */
const noStorage = 10047;
const nameInUse = 10058;

async function adjust(
  jsm: JetStreamManager,
  spec: StreamSpec,
  before: StreamConfig,
  { replicas, maxBytes }: StreamsOptions,
): Promise<void> {
  // What cannot be changed stays, as does what newer servers add.
  const { name: _, storage, retention, max_consumers: __, ...wanted } = streamConfig(spec, replicas);
  if (before.storage !== storage || before.retention !== retention)
    throw new FarmError('STREAM_UNUSABLE', {
      stream: spec.name,
      detail: 'it is kept in memory or as a queue; another program made it',
    });
  const size = maxBytes?.[spec.name];
  const after: Partial<StreamConfig> = { ...wanted, ...(size === undefined ? {} : { max_bytes: size }) };
  const same = Object.entries(after).every(([key, value]) =>
    isDeepStrictEqual(before[key as keyof StreamConfig] ?? false, value ?? false),
  );
  if (same) return;
  try {
    await jsm.streams.update(spec.name, after);
  } catch (error) {
    throw new FarmError('STREAM_UNUSABLE', { stream: spec.name, detail: messageOf(error) }, { cause: error });
  }
}

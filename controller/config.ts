import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FarmError, messageOf } from '../protocol/errors.ts';
import { defaultTimes, type Times } from '../protocol/times.ts';
import type { ServerOptions } from './cli/server.ts';
import type { ControllerSettings } from './controller.ts';
import { githubSettings } from './github/settings.ts';
import { newFarmKey } from './store/keys.ts';
import { natsPaths } from './store/nats-files.ts';
import { parseObjectsUrl } from './store/object-url.ts';
import { writeWhole } from './store/write-file.ts';

/** What the environment says; nothing else of this program reads it. */
export const environment = process.env;

const timeBounds: Record<keyof Times, [min: number, max: number]> = {
  beatHoldMs: [100, 60_000],
  beatTimeoutMs: [200, 120_000],
  silentMs: [500, 600_000],
  leaseMs: [1_000, 600_000],
  heartbeatMs: [50, 10_000],
  takeoverMs: [200, 60_000],
  unacceptedMs: [500, 60_000],
};

/**
 * The times of the farm: each default, or what `THRESH_<NAME>` says (`THRESH_LEASE_MS`). All problems are told at once.
 * @throws FarmError BAD_SETTINGS
 */
export function timesFrom(env: Record<string, string | undefined>): Times {
  const times = { ...defaultTimes };
  const problems: string[] = [];
  for (const [name, [min, max]] of Object.entries(timeBounds) as [keyof Times, [number, number]][]) {
    const variable = `THRESH_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;
    const text = env[variable];
    if (text === undefined || text === '') continue;
    const ms = Number(text);
    if (/^[0-9]+$/.test(text) && ms >= min && ms <= max) times[name] = ms;
    else problems.push(`${variable}=${text}: expected a whole number of milliseconds from ${min} to ${max}`);
  }
  if (times.beatHoldMs >= times.beatTimeoutMs)
    problems.push('THRESH_BEAT_HOLD_MS must be less than THRESH_BEAT_TIMEOUT_MS, or held answers go to nobody');
  if (times.silentMs >= times.leaseMs) problems.push('THRESH_SILENT_MS must be less than THRESH_LEASE_MS');
  if (problems.length > 0) throw new FarmError('BAD_SETTINGS', { problems });
  return times;
}

/** Where `npm run build` puts the page: beside this program's own build, also when it runs from its sources. */
export const builtPage = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../dist/ui' : '../ui', import.meta.url));

/** Long enough for whoever spreads requests over replicas to ask `/readyz` once more. */
const lameDuckMs = 1_000;

/** The login of a controller to NATS and the curve key by which it seals. */
export type NatsLogin = ControllerSettings['nats'];

/** Everything of a controller that is kept in its data directory: made the first time, read after that. */
export async function controllerSettings(
  o: ServerOptions & { keyFile?: string },
  nats: NatsLogin,
  env = environment,
): Promise<ControllerSettings> {
  const data = resolve(o.data);
  await mkdir(data, { recursive: true, mode: 0o711 });
  const jobsDir = resolve(o.jobs ?? join(data, 'jobs'));
  if (o.jobs === undefined) await mkdir(jobsDir, { recursive: true });
  else await mustBeDirectory('--jobs', jobsDir);
  if (o.secrets !== undefined) await mustBeDirectory('--secrets', resolve(o.secrets));
  const github = await githubSettings(o, (path) => resolve(path));
  const webhookSecrets = await Promise.all(o.webhookSecretFiles.map(readSecretFile));
  return {
    id: (await kept(join(data, 'controller.id'), () => `c-${randomUUID().slice(0, 8)}\n`)).toString('utf8').trim(),
    listen: o.listen,
    hosts: [...o.hosts, ...(isAddressOfAll(o.listen.host) ? [] : [o.listen.host])],
    nats,
    objectsDir: join(data, 'objects'),
    ...objectsFrom(o.objects),
    results: resultsFrom(o),
    indexFile: join(data, 'index.db'),
    jobsDir,
    uiDir: builtPage,
    ...(o.secrets === undefined ? {} : { secretsDir: resolve(o.secrets) }),
    webhookSecrets: () => webhookSecrets,
    ...(github ? { github } : {}),
    ...(o.publicUrl === undefined ? {} : { publicUrl: o.publicUrl }),
    adminToken: (await kept(join(data, 'admin.token'), () => `${randomBytes(32).toString('base64url')}\n`))
      .toString('utf8')
      .trim(),
    farmKey: await farmKey(o.keyFile === undefined ? join(data, 'farm.key') : resolve(o.keyFile)),
    ...(o.metricsTokenFile === undefined ? {} : { metricsToken: await readMetricsToken(o.metricsTokenFile) }),
    ...(o.leastFree === undefined ? {} : { leastFreeBytes: o.leastFree }),
    ...(o.agentsNats === undefined ? {} : { agentsNatsUrl: o.agentsNats }),
    lameDuckMs,
    times: timesFrom(env),
    maxLogBytes: 256 * 1024 * 1024,
    checkpointEvery: 100_000,
  };
}

function objectsFrom(where: string | undefined): Pick<ControllerSettings, 's3'> | Pick<ControllerSettings, 'objectsDir'> {
  if (where === undefined) return {};
  const parsed = parseObjectsUrl(where);
  return 's3' in parsed ? parsed : { objectsDir: resolve(parsed.dir) };
}

/** @throws FarmError BAD_SETTINGS */
function resultsFrom({ resultsPrefix, pathStrategy, defaultRepo }: ServerOptions): NonNullable<ControllerSettings['results']> {
  const prefix = resultsPrefix === '' || resultsPrefix.endsWith('/') ? resultsPrefix : `${resultsPrefix}/`;
  if (!/^(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63}\/){0,4}$/.test(prefix))
    throw new FarmError('BAD_SETTINGS', {
      problems: [`--results-prefix ${resultsPrefix}: expected names with slashes between them`],
    });
  return { prefix, strategy: pathStrategy, defaultOrg: defaultRepo?.org ?? '', defaultRepo: defaultRepo?.repo ?? '' };
}

/** The login that `thresh nats-config DIR` (or an embedded server) has left in its directory. @throws FarmError BAD_SETTINGS */
export async function natsLogin(url: string, dir: string): Promise<NatsLogin> {
  const at = natsPaths(resolve(dir));
  const read = async (file: string) => {
    try {
      return (await readFile(file, 'utf8')).trim();
    } catch (error) {
      throw new FarmError('BAD_SETTINGS', {
        problems: [`--nats-dir ${dir}: ${messageOf(error)}; make it with 'thresh nats-config ${dir}'`],
      });
    }
  };
  return {
    url,
    seed: await read(join(at.dir, 'controller.seed')),
    curveSeed: await read(join(at.dir, 'controller.curve')),
    dir: at.dir,
  };
}

/** The content of a file that is made the first time, whole and for this user only, whoever else makes it at the same moment. */
async function kept(file: string, make: () => string | Uint8Array): Promise<Buffer> {
  try {
    const content = await readFile(file);
    await chmod(file, 0o600);
    return content;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const draft = `${file}.${randomBytes(4).toString('hex')}`;
  await writeWhole(draft, make());
  await link(draft, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(draft);
  return readFile(file);
}

async function farmKey(file: string): Promise<Uint8Array> {
  const key = await kept(file, newFarmKey);
  if (key.length !== 32)
    throw new FarmError('BAD_SETTINGS', {
      problems: [`${file}: a farm's key has 32 bytes, this has ${key.length}; copy it from another controller as it is`],
    });
  return key;
}

const readSecretFile = (file: string): Promise<string> => readSecret('--webhook-secret-file', file);

async function readMetricsToken(file: string): Promise<string> {
  const token = await readSecret('--metrics-token-file', file);
  if (/^[\x21-\x7e]{16,4096}$/.test(token)) return token;
  const need = 'a token is one line of at least 16 printable ASCII characters';
  throw new FarmError('BAD_SETTINGS', { problems: [`--metrics-token-file ${file}: ${need}`] });
}

async function readSecret(option: string, file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new FarmError('BAD_SETTINGS', { problems: [`${option} ${file}: ${messageOf(error)}`] });
  });
  const secret = text.trim();
  if (secret === '') throw new FarmError('BAD_SETTINGS', { problems: [`${option} ${file}: it is empty`] });
  return secret;
}

async function mustBeDirectory(option: string, dir: string): Promise<void> {
  const found = await stat(dir).catch(() => undefined);
  if (!found?.isDirectory()) throw new FarmError('BAD_SETTINGS', { problems: [`${option} ${dir}: there is no such directory`] });
}

const isAddressOfAll = (host: string): boolean => host === '0.0.0.0' || host === '::';

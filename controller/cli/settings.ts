import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../protocol/errors.ts';
import { usage } from './exit.ts';
import type { Env } from './terminal.ts';

export const defaultUrl = 'http://127.0.0.1:8787';
export const defaultData = '.thresh';

/** Options that every client command has. */
export type ClientOptions = { url?: string; tokenFile?: string; json?: boolean };

/** Replicas in the order in which they are tried, and the token for them. */
export type Settings = { urls: URL[]; token: string | undefined };

/** @throws FarmError BAD_USAGE */
export async function clientSettings(o: ClientOptions, env: Env, cwd: string): Promise<Settings> {
  return { urls: parseUrls(o.url ?? (env.THRESH_URL || defaultUrl)), token: await findToken(o, env, cwd) };
}

/** @param list addresses with commas between them. @throws FarmError BAD_USAGE */
export function parseUrls(list: string): URL[] {
  const urls = list
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseUrl);
  if (urls.length === 0) throw usage('--url: expected one address such as http://127.0.0.1:8787, or several with commas');
  return urls;
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw usage(`--url: '${text}' is not an address of a farm; expected http://HOST:PORT or https://HOST`);
  if (url.username || url.password)
    throw usage('--url: a name or password in the address is not used; give the token with --token-file');
  url.hash = '';
  url.search = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

async function findToken(o: ClientOptions, env: Env, cwd: string): Promise<string | undefined> {
  if (o.tokenFile !== undefined) {
    const text = await readFile(o.tokenFile, 'utf8').catch((error: unknown) => {
      throw usage(`--token-file: ${messageOf(error)}`);
    });
    return checked(text, o.tokenFile);
  }
  if (env.THRESH_TOKEN) return checked(env.THRESH_TOKEN, 'THRESH_TOKEN');
  const file = join(cwd, defaultData, 'admin.token');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : checked(text, file);
}

/** A token that could not stand in a header would be quoted in the error of whoever builds the header. */
function checked(text: string, from: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]{1,4096}$/.test(token)) throw usage(`${from} does not hold a token: expected one line of printable ASCII`);
  return token;
}

import { FarmError } from '../../protocol/errors.ts';
import { keyParts } from './object-key.ts';
import type { S3Settings } from './s3-objects.ts';

const longestPrefixBytes = 128;

/**
 * What `--objects` says: `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&path-style=true]`, or a directory. Credentials are found where
 * Amazon's tools find them and never stand here. Path style is the default where there is an endpoint.
 * @throws FarmError BAD_SETTINGS
 */
export function parseObjectsUrl(text: string): { dir: string } | { s3: S3Settings } {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return { dir: text };
  const bad = (detail: string) => new FarmError('BAD_SETTINGS', { problems: [`--objects ${text}: ${detail}`] });
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 's3:') throw bad('expected a directory, or s3://BUCKET/PREFIX?endpoint=...&region=...');
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(url.host)) throw bad(`'${url.host}' cannot be the name of a bucket`);
  if (url.username || url.password || url.hash) throw bad('credentials come from the environment, not from here');
  const prefix = decodeURIComponent(url.pathname).replace(/^\/|\/$/g, '');
  if (prefix !== '') keyParts(prefix);
  if (Buffer.byteLength(prefix) > longestPrefixBytes) throw bad(`the prefix is longer than ${longestPrefixBytes} bytes`);
  const {
    endpoint,
    region = 'us-east-1',
    'path-style': style = endpoint ? 'true' : 'false',
    ...others
  } = Object.fromEntries(url.searchParams);
  for (const name of Object.keys(others)) throw bad(`'${name}' is not known; there are endpoint, region and path-style`);
  if (endpoint !== undefined && !/^https?:\/\/[^/]+\/?$/.test(endpoint)) throw bad('endpoint: expected http(s)://HOST[:PORT]');
  if (style !== 'true' && style !== 'false') throw bad('path-style: expected true or false');
  return {
    s3: {
      bucket: url.host,
      prefix: prefix === '' ? '' : `${prefix}/`,
      region,
      pathStyle: style === 'true',
      ...(endpoint === undefined ? {} : { endpoint }),
    },
  };
}

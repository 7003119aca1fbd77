import { InvalidArgumentError } from 'commander';
import { isToken } from '../../protocol/token.ts';

/*
 * What people write on the command line, checked where it is read: commander says which option it was, and ends with code 2.
 */

const bad = (expected: string): InvalidArgumentError => new InvalidArgumentError(`Expected ${expected}.`);

/** Decimal digits only: '1e3', '0x10' and '' are typing errors, not numbers. */
export const parseWhole =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const n = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(n >= least && n <= most))
      throw bad(`a whole number ${most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`}`);
    return n;
  };

/** A run id, or an address that ends in one. */
export function parseRunId(text: string): string {
  const id = /(?:^|^https?:\/\/.*\/)(\d{1,20})\/?$/.exec(text)?.[1];
  if (id === undefined) throw bad("a run's id (decimal digits; 'thresh runs' lists them) or its address");
  return id;
}

export const parseName =
  (what: string) =>
  (text: string): string => {
    if (!isToken(text)) throw bad(`the name of ${/^[aeiou]/.test(what) ? 'an' : 'a'} ${what}: letters, digits, '-' and '_'`);
    return text;
  };

export function parseNames(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (!names.every(isToken)) throw bad("names with commas between them: letters, digits, '-' and '_'");
  return [...new Set(names)];
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** '90s', '30m', '24h', '7d'. @returns milliseconds */
export const parseDuration =
  (mostMs: number) =>
  (text: string): number => {
    const [, n, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
    const ms = n === undefined ? 0 : Number(n) * unitMs[unit as keyof typeof unitMs];
    if (ms < 1_000 || ms > mostMs) throw bad(`a time such as 90s, 30m, 24h or 7d, up to ${mostMs / unitMs.d}d`);
    return ms;
  };

/** '500M', '2G', '10GiB': powers of 1024. @returns bytes */
export function parseSize(text: string): number {
  const [, n, unit = ''] = /^(\d{1,6})([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  if (n === undefined) throw bad('a size such as 500M or 2G');
  return Number(n) * 1024 ** ' KMGT'.indexOf(unit.toUpperCase() || ' ');
}

export type Listen = { host: string; port: number };

/** 'HOST:PORT', ':PORT' (all interfaces), '[::1]:PORT'. Port 0: the system chooses one. */
export function parseListen(text: string): Listen {
  const [, v6, name, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) throw bad('HOST:PORT, such as 127.0.0.1:8787 or [::1]:8787');
  return { host: v6 ?? (name || '0.0.0.0'), port };
}

/** An address to which a path can be added; without a slash at its end. */
export function parseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw bad('an address such as https://ci.example.org');
  return url.href.replace(/\/+$/, '');
}

export function parseRepo(text: string): { org: string; repo: string } {
  const [, org, repo] = /^([^\s/]{1,255})\/([^\s/]{1,255})$/.exec(text) ?? [];
  if (org === undefined || repo === undefined) throw bad('ORG/REPO');
  return { org, repo };
}

const sha = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** 'BRANCH' or 'BRANCH:SHA'. A branch cannot hold a colon. */
export function parseBase(text: string): { baseRef: string; baseSha?: string } {
  const [baseRef = '', baseSha, ...more] = text.split(':');
  if (baseRef === '' || more.length > 0) throw bad('BRANCH or BRANCH:SHA');
  if (baseSha === undefined) return { baseRef };
  if (!sha.test(baseSha.toLowerCase())) throw bad('a full SHA (40 hexadecimal digits) after the colon');
  return { baseRef, baseSha: baseSha.toLowerCase() };
}

/** 'NUMBER:SHA'. */
export function parsePull(text: string): { number: number; sha: string } {
  const [, number, commit] = /^([1-9]\d{0,9}):([0-9a-fA-F]+)$/.exec(text) ?? [];
  if (number === undefined || commit === undefined || !sha.test(commit.toLowerCase()))
    throw bad('NUMBER:SHA with the full SHA of its head (40 hexadecimal digits)');
  return { number: Number(number), sha: commit.toLowerCase() };
}

/** Collects an option that may be given several times. */
export const several =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] | undefined): T[] => [...(before ?? []), parse(text)];

export const asIs = (text: string): string => text;

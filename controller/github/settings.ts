import { FarmError } from '../../protocol/errors.ts';
import type { GitHubSettings } from './client.ts';
import { readAppKey, readToken } from './credentials.ts';
import { publishedLimits } from './pace.ts';

export type GitHubOptions = {
  githubApi?: string;
  githubTokenFile?: string;
  githubAppId?: string;
  githubAppKeyFile?: string;
  githubWritesPerHour?: number;
};

/**
 * What the options say; undefined when they name no credentials. The files are read once, so that a wrong one is told at the start.
 * @param absolute makes a path that can be read later, from wherever
 * @throws FarmError BAD_SETTINGS
 */
export async function githubSettings(o: GitHubOptions, absolute: (path: string) => string): Promise<GitHubSettings | undefined> {
  const { githubTokenFile, githubAppId, githubAppKeyFile } = o;
  const bad = (problem: string) => new FarmError('BAD_SETTINGS', { problems: [problem] });
  if (githubTokenFile !== undefined && (githubAppId ?? githubAppKeyFile) !== undefined)
    throw bad('--github-token-file and --github-app-id exclude each other: a farm is one user or one App');
  if ((githubAppId === undefined) !== (githubAppKeyFile === undefined))
    throw bad('--github-app-id and --github-app-key-file go together; one of them is missing');
  const rest = {
    api: o.githubApi ?? 'https://api.github.com',
    limits: { ...publishedLimits, writesPerHour: o.githubWritesPerHour ?? publishedLimits.writesPerHour },
  };
  if (githubTokenFile !== undefined) {
    const tokenFile = absolute(githubTokenFile);
    await readToken(tokenFile);
    return { ...rest, auth: { tokenFile } };
  }
  if (githubAppId === undefined || githubAppKeyFile === undefined) return undefined;
  const appKeyFile = absolute(githubAppKeyFile);
  await readAppKey(appKeyFile);
  return { ...rest, auth: { appId: githubAppId, appKeyFile } };
}

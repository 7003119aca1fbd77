import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createAppAuth } from '@octokit/auth-app';
import type { Octokit } from '@octokit/core';
import { FarmError, messageOf } from '../../protocol/errors.ts';

/** How the farm shows GitHub who it is. Files, so that no secret stands in a list of processes or in the environment. */
export type GitHubAuth = { tokenFile: string } | { appId: string; appKeyFile: string };

export type Repo = { owner: string; repo: string };

export type Credentials = {
  /** One name for all that shares GitHub's limits: everything of a token, or an installation of the App. */
  nameOf: (repo: Repo) => string;
  /** Octokit with what opens `repo`, and the headers that each request needs besides. */
  open: (repo: Repo) => Promise<{ octokit: Octokit; headers: Record<string, string> }>;
  /** GitHub did not accept them: the next `open` begins anew. */
  forget: (repo: Repo) => void;
};

/** @param make Octokit with the farm's settings and what else it is given */
export function credentials(auth: GitHubAuth, make: (more: object) => Octokit): Credentials {
  return 'tokenFile' in auth ? tokenCredentials(auth.tokenFile, make({})) : appCredentials(auth, make);
}

/** The file is read for each request: a token that is exchanged needs no restart. */
function tokenCredentials(file: string, octokit: Octokit): Credentials {
  return {
    nameOf: () => 'token',
    open: async () => ({ octokit, headers: { authorization: `Bearer ${await readToken(file)}` } }),
    forget: () => {},
  };
}

/** An installation of the App for each owner; Octokit gets and renews its tokens. */
function appCredentials(
  { appId, appKeyFile }: { appId: string; appKeyFile: string },
  make: (more: object) => Octokit,
): Credentials {
  const installations = new Map<string, Promise<Octokit>>();
  const of = ({ owner }: Repo) => owner.toLowerCase();
  const install = async ({ owner, repo }: Repo): Promise<Octokit> => {
    const app = { appId, privateKey: await readAppKey(appKeyFile) };
    const octokit = make({ authStrategy: createAppAuth, auth: app });
    const { data } = await octokit.request('GET /repos/{owner}/{repo}/installation', { owner, repo }).catch((error) => {
      if (error.status !== 404) throw error;
      const detail = `GitHub App ${appId} is not installed there; install it, with write access to commit statuses`;
      throw new FarmError('GITHUB_REFUSED', { what: `${owner}/${repo}`, status: 404, detail });
    });
    return make({ authStrategy: createAppAuth, auth: { ...app, installationId: data.id } });
  };
  return {
    nameOf: of,
    open: async (repo) => {
      const known = installations.get(of(repo)) ?? install(repo);
      installations.set(of(repo), known);
      try {
        return { octokit: await known, headers: {} };
      } catch (error) {
        installations.delete(of(repo));
        throw error;
      }
    },
    forget: (repo) => void installations.delete(of(repo)),
  };
}

/** @throws FarmError BAD_SETTINGS */
export async function readToken(file: string): Promise<string> {
  const token = (await readText('--github-token-file', file)).trim();
  if (!/^[\x21-\x7e]{1,4096}$/.test(token)) throw bad(`--github-token-file ${file}: it does not hold one token`);
  return token;
}

/** @returns PKCS#8, whichever form GitHub gave it in. @throws FarmError BAD_SETTINGS */
export async function readAppKey(file: string): Promise<string> {
  const pem = await readText('--github-app-key-file', file);
  try {
    return createPrivateKey(pem).export({ type: 'pkcs8', format: 'pem' }).toString();
  } catch (error) {
    throw bad(`--github-app-key-file ${file}: not a private key as GitHub gives it for an App (${messageOf(error)})`);
  }
}

const readText = (option: string, file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: unknown) => {
    throw bad(`${option} ${file}: ${messageOf(error)}`);
  });

const bad = (problem: string) => new FarmError('BAD_SETTINGS', { problems: [problem] });

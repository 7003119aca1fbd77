import { isAbsolute } from 'node:path';
import type { Refs } from '../../protocol/change.ts';

/** Refs that cannot be checked out, and why: one sentence for people. */
export class BadRefs extends Error {
  override name = 'BadRefs';
}

type Named = Pick<Refs, 'org' | 'repo' | 'pathAlias'>;

const segment = /^[A-Za-z0-9_.][A-Za-z0-9_.+~@-]*$/;

/**
 * Where the source of `refs` stands in the workspace: `src/ORG/REPO`, or `src/` and the alias.
 * @throws BadRefs when a name in it could lead elsewhere
 */
export function sourceDir({ org, repo, pathAlias }: Named): string {
  const path = pathAlias ?? `${org.replace(/^https?:\/\//, '')}/${repo}`;
  const parts = path.split('/');
  if (parts.some((part) => !segment.test(part) || /^\.+$/.test(part) || part.toLowerCase() === '.git'))
    throw new BadRefs(`'${path}' cannot be a directory of the workspace; use letters, digits, '.', '_' and '-'`);
  return `src/${path}`;
}

/**
 * Where to fetch from: the job's `clone_uri`, else GitHub.
 * @param allowFile whether repositories on the agent's own disk may be named; the operator's decision
 * @throws BadRefs for a protocol that is not allowed, and for an address that holds a password: it would stand in logs
 */
export function cloneUri(refs: Named & Pick<Refs, 'cloneUri'>, { allowFile }: { allowFile: boolean }): string {
  const fromOrg = /^https?:\/\//.test(refs.org) ? refs.org : `https://github.com/${refs.org}`;
  const uri = refs.cloneUri ?? `${fromOrg}/${refs.repo}.git`;
  if (/[\s\p{Cc}]/u.test(uri) || uri.startsWith('-')) throw new BadRefs('clone_uri is not the address of a repository');
  if (isAbsolute(uri)) return allowed(allowFile, uri, 'file');
  // git takes HOST:PATH as ssh; a colon after a slash is part of a path.
  const [, host] = /^(?:[A-Za-z0-9_.][A-Za-z0-9_.-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!\/\/)[^-:]/.exec(uri) ?? [];
  if (host) return uri;
  if (!URL.canParse(uri)) throw new BadRefs('clone_uri is not the address of a repository');
  const url = new URL(uri);
  if (url.password || (url.protocol === 'https:' && url.username))
    throw new BadRefs('clone_uri holds a credential, which would stand in logs; take it out');
  if (url.protocol === 'ssh:' && (url.hostname.startsWith('-') || url.username.startsWith('-')))
    throw new BadRefs('clone_uri is not the address of a repository');
  return allowed(
    url.protocol === 'https:' || url.protocol === 'ssh:' || (url.protocol === 'file:' && allowFile),
    uri,
    url.protocol,
  );
}

function allowed(is: boolean, uri: string, protocol: string): string {
  if (is) return uri;
  const name = protocol.replace(/:$/, '');
  const hint = name === 'file' ? 'start the agent with --allow-file-clone to allow that' : 'use https or ssh';
  throw new BadRefs(`this agent does not clone by '${name}'; ${hint}`);
}

/**
 * Whether `name` may be a branch or a tag, by the rules of git-check-ref-format(1); so it is no option, no refspec and no path that leads
 * anywhere.
 */
export function isRefName(name: string): boolean {
  if (name === '@' || name.startsWith('-') || name.startsWith('+') || name.endsWith('.') || name.includes('..')) return false;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: git forbids them in names
  if (/[\u0000-\u0020\u007f~^:?*[\\]|@\{/.test(name)) return false;
  return name.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'));
}

import { type Static, Type } from 'typebox';

const sha = Type.String({ pattern: '^[0-9a-f]{40}([0-9a-f]{24})?$', description: 'A full commit SHA, lower-case hexadecimal' });

/** A pull request that is merged onto the base before the steps run. */
export const Pull = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  author: Type.String({ maxLength: 255 }),
  sha,
  title: Type.Optional(Type.String({ maxLength: 1024 })),
  headRef: Type.Optional(Type.String({ maxLength: 1024, description: 'Branch name on the author’s side' })),
  link: Type.Optional(Type.String({ maxLength: 2048 })),
});
export type Pull = Static<typeof Pull>;

/** The exact source that a run tests: a base commit, and pull requests merged onto it in order. */
export const Refs = Type.Object({
  org: Type.String({ minLength: 1, maxLength: 255 }),
  repo: Type.String({ minLength: 1, maxLength: 255 }),
  baseRef: Type.String({ minLength: 1, maxLength: 1024, description: 'Branch or tag name without refs/heads/ or refs/tags/' }),
  baseSha: Type.Optional(sha),
  pulls: Type.Array(Pull, { maxItems: 100 }),
  cloneUri: Type.Optional(Type.String({ maxLength: 4096 })),
  pathAlias: Type.Optional(Type.String({ maxLength: 1024 })),
  skipSubmodules: Type.Optional(Type.Boolean()),
  cloneDepth: Type.Optional(Type.Integer({ minimum: 0, description: 'Commits of the base to fetch; 0: all' })),
  skipFetchHead: Type.Optional(Type.Boolean({ description: 'Fetch neither the default branch nor tags' })),
});
export type Refs = Static<typeof Refs>;

/** 'org/repo', the key of everything that is kept by repository. */
export const repoOf = (refs: Pick<Refs, 'org' | 'repo'>): string => `${refs.org}/${refs.repo}`;

/** 'org/repo#number' of the only pull request in `refs`; undefined for pushes and batches. */
export const pullKey = (refs: Refs | undefined): string | undefined => {
  const [pull, ...others] = refs?.pulls ?? [];
  return refs && pull && others.length === 0 ? `${repoOf(refs)}#${pull.number}` : undefined;
};

import { type Static, type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import { Refs } from '../../protocol/change.ts';

/** What keeps a value from outside from being used, in words for people. */
export type Problem = { problem: string };
export const isProblem = (value: object): value is Problem => 'problem' in value;

/** At most `max` UTF-16 units of `text`, ending in an ellipsis when some are left out. Never half a surrogate pair. */
export const cut = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;

/** A value from outside, quoted and short enough for a sentence. */
export const quote = (text: string): string => `'${cut(text, 100)}'`;

/** `value` as `schema` describes it, or what does not fit: the first problem, with its place. */
export function read<S extends TSchema>(schema: S, value: unknown): { value: Static<S> } | Problem {
  if (Value.Check(schema, value)) return { value };
  const [first] = Value.Errors(schema, value);
  const place = first?.instancePath ? first.instancePath.slice(1).replaceAll('/', '.') : 'it';
  return { problem: cut(`${place} ${first?.message ?? 'does not fit'}`, 300) };
}

/** The repository that a GitHub event is about. */
export const Repository = Type.Object({
  full_name: Type.String({ pattern: '^[A-Za-z0-9_.-]{1,255}/[A-Za-z0-9_.-]{1,255}$' }),
});

export const splitRepo = (fullName: string): { org: string; repo: string } => {
  const [org = '', repo = ''] = fullName.split('/');
  return { org, repo };
};

/** Refs that fit their schema and name a repository that cannot lead out of a workspace: agents check out into `src/ORG/REPO`. */
export function readRefs(value: unknown): { value: Refs } | Problem {
  const refs = read(Refs, value);
  if (isProblem(refs)) return refs;
  const { org, repo } = refs.value;
  const path = `${org}/${repo}`;
  const leadsOut = path.split('/').some((part) => part === '.' || part === '..') || org.startsWith('/') || repo.startsWith('/');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (leadsOut || /[\u0000-\u001f\\]/.test(path)) return { problem: `${quote(path)} cannot be the name of a repository` };
  return refs;
}

/** GitHub's names do not differ by case only. */
export const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** Who GitHub says did it; undefined when the event does not say. */
export function senderOf(payload: unknown): string | undefined {
  const sender = read(Type.Object({ sender: Type.Object({ login: Type.String({ minLength: 1, maxLength: 255 }) }) }), payload);
  return isProblem(sender) ? undefined : sender.value.sender.login;
}

const members = new Set(['OWNER', 'MEMBER', 'COLLABORATOR']);
/** Whether GitHub's `author_association` is that of somebody whom the repository trusts. */
export const isMember = (association: string): boolean => members.has(association);

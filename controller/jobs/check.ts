import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Finding } from './place.ts';
import { fieldsOf } from './schema.ts';
import { hint } from './suggest.ts';

/** A compiled check of one noun of the file format. Findings have paths from the value that was checked. */
export type Check<T> = { is: (value: unknown) => value is T; findings: (value: unknown) => Finding[] };

/** @param what the noun in a message: 'a step', 'a job' */
export function checkOf<S extends TSchema>(schema: S, what: string): Check<Static<S>> {
  const compiled = Compile(schema);
  return {
    is: (value): value is Static<S> => compiled.Check(value),
    findings: (value) => (compiled.Check(value) ? [] : explain(schema, what, value, compiled.Errors(value))),
  };
}

/** One message per place; the first thing that is wrong there is the plainest. */
function explain(schema: TSchema, what: string, value: unknown, errors: readonly SchemaError[]): Finding[] {
  const findings = new Map<string, Finding>();
  const add = (path: string[], finding: Omit<Finding, 'path'>) => {
    const key = JSON.stringify(path);
    if (!findings.has(key)) findings.set(key, { path, ...finding });
  };
  for (const error of errors) {
    const path = error.instancePath
      .split('/')
      .slice(1)
      .map((s) => s.replaceAll('~1', '/').replaceAll('~0', '~'));
    const at = follow(schema, value, path);
    if (error.keyword === 'boolean') continue;
    if (error.keyword === 'additionalProperties') {
      const known = fieldsOf(at.schema);
      for (const name of namesIn(error.params, 'additionalProperties'))
        add([...path, name], { on: 'key', message: `'${cut(name)}' is not a field of ${what}; ${hint(name, known)}` });
    } else if (error.keyword === 'required') {
      const names = namesIn(error.params, 'requiredProperties').map((n) => `'${n}'`);
      add(path, { message: `${at.field || what} has no ${names.join(' and no ')}; add it` });
    } else {
      add(path, {
        message: `${at.field || what} must be ${expected(at.schema)}, but is ${found(at.value)}${remedy(at.schema, at.value)}`,
      });
    }
  }
  return [...findings.values()];
}

type SchemaError = { keyword: string; instancePath: string; params: object };
type Node = TSchema & {
  type?: string;
  description?: string;
  minimum?: number;
  maximum?: number;
  properties?: Record<string, Node>;
  additionalProperties?: Node;
  items?: Node;
};

const namesIn = (params: object, key: string): string[] => {
  const names = (params as Record<string, unknown>)[key];
  return Array.isArray(names) ? names.map(String) : [];
};

/** The schema, the value and the way to write the field, at a path. */
function follow(root: TSchema, whole: unknown, path: string[]): { schema: Node; value: unknown; field: string } {
  let schema: Node = root;
  let value = whole;
  let field = '';
  for (const segment of path) {
    const inList = Array.isArray(value);
    field += inList ? `[${segment}]` : `${field && '.'}${cut(segment)}`;
    value = (value as Record<string, unknown> | undefined)?.[segment];
    schema = (inList ? schema.items : (schema.properties?.[segment] ?? schema.additionalProperties)) ?? {};
  }
  return { schema, value, field };
}

function expected(schema: Node): string {
  if (schema.description) return schema.description;
  if (schema.type === 'integer') {
    if (schema.maximum !== undefined) return `a whole number from ${schema.minimum ?? 0} to ${schema.maximum}`;
    return schema.minimum === undefined ? 'a whole number' : `a whole number of at least ${schema.minimum}`;
  }
  const words: Record<string, string> = { string: 'text', boolean: 'true or false', array: 'a list', object: 'a map' };
  return words[schema.type ?? ''] ?? 'something else';
}

/** What stands there, in words; long text is cut. */
export function found(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return value.length > 500 ? `a list of ${value.length}` : 'a list';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'string' ? `the text '${cut(value)}'` : `the ${typeof value} ${String(value)}`;
}

function remedy(schema: Node, value: unknown): string {
  if (schema.type === 'string' && typeof value === 'boolean')
    return '; put it in quotes (without them yes, no, on, off, y and n are true or false)';
  if (schema.type === 'string' && typeof value === 'number') return '; put it in quotes';
  if (schema.type === 'array' && typeof value === 'string') return `; write it as [${cut(JSON.stringify(value))}]`;
  if (typeof value !== 'string') return '';
  if (schema.type === 'boolean' && /^(true|false)$/i.test(value)) return '; take the quotes away';
  if (schema.type === 'integer' && /^[0-9]+$/.test(value)) return '; take the quotes away';
  return '';
}

/** At most 60 characters, in one line. */
export const cut = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 57)}...` : line;
};

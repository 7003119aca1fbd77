import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { FarmError } from '../../protocol/errors.ts';

/**
 * Checks requests with TypeBox. Bodies are taken as they are; texts of a query become numbers and booleans where the schema wants those.
 * Nothing is removed or defaulted.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'body' }) => {
  const validator = Compile(schema);
  return (data: unknown) => {
    const value = httpPart === 'querystring' ? readQuery(schema, data) : data;
    return validator.Check(value) ? { value } : { error: problemOf(validator, value, httpPart) };
  };
};

const partNames: Record<string, string> = { body: 'body', querystring: 'query', params: 'path', headers: 'headers' };

/** The first problem, with its place: `body/refs/pulls/0/sha: must match ...`. */
function problemOf(validator: Validator, value: unknown, httpPart: string): FarmError<'BAD_REQUEST'> {
  const problems = validator.Errors(value);
  const [first] = problems;
  const place = `${partNames[httpPart] ?? httpPart}${first?.instancePath ?? ''}`;
  if (first?.keyword === 'const') return bad(`${place}: expected ${choicesOf(problems, first.instancePath)}`);
  if (first?.keyword === 'boolean') return bad(`${place}: is not known here`);
  return bad(`${place}: ${first?.message ?? 'is not what is expected here'}`);
}

/** What may stand at `path`, where it is one of several texts. */
const choicesOf = (problems: ReturnType<Validator['Errors']>, path: string): string =>
  problems
    .filter((p) => p.keyword === 'const' && p.instancePath === path)
    .map((p) => JSON.stringify((p.params as { allowedValue?: unknown }).allowedValue))
    .join(' or ');

const bad = (detail: string) => new FarmError('BAD_REQUEST', { detail });

function readQuery(schema: TSchema, data: unknown): unknown {
  if (typeof data !== 'object' || data === null) return data;
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> };
  return Object.fromEntries(Object.entries(data).map(([name, text]) => [name, readText(text, properties[name]?.type)]));
}

function readText(text: unknown, type: string | undefined): unknown {
  if (typeof text !== 'string') return text;
  if (type === 'integer') return /^\d{1,15}$/.test(text) ? Number(text) : text;
  if (type === 'boolean') return { 1: true, true: true, 0: false, false: false }[text] ?? text;
  return text;
}

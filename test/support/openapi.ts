import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Ajv, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';

/** OpenAPI 3.0 says `nullable` where JSON Schema wants a type of its own, and also where no type stands beside it. */
function withNull(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withNull);
  const copy = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withNull(inner)]));
  if (copy.nullable !== true || copy.type !== undefined) return copy;
  const { nullable: _, ...rest } = copy;
  return { anyOf: [rest, { type: 'null' }] };
}

type Json = Record<string, unknown>;
type Parameter = { name: string; in: string; required?: boolean; schema: Json };
type Operation = {
  parameters?: (Parameter | Ref)[];
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content } | Ref>;
};
type Content = Record<string, { schema: Json }>;
type Ref = { $ref: string };
type Description = { paths: Record<string, Record<string, Operation>>; components: Record<string, Json> };

const require = createRequire(import.meta.url);

/** GitHub's own description of its API: what may be asked, and what is answered. */
export class GitHubDescription {
  readonly #description: Description;
  readonly #ajv: Ajv;
  readonly #checks = new Map<string, ValidateFunction>();
  readonly #paths: { path: string; pattern: RegExp; names: string[] }[];

  constructor() {
    const root = require.resolve('@octokit/openapi').replace(/index\.js$/, '');
    this.#description = JSON.parse(readFileSync(`${root}generated/api.github.com.json`, 'utf8'));
    this.#ajv = new Ajv({ strict: false, allErrors: true });
    (formats as unknown as (ajv: Ajv) => void)(this.#ajv);
    this.#ajv.addSchema({ $id: 'github', components: withNull(this.#description.components) as Json });
    this.#paths = Object.keys(this.#description.paths).map((path) => ({
      path,
      names: [...path.matchAll(/\{([^}]+)\}/g)].map((m) => m[1] ?? ''),
      pattern: new RegExp(`^${path.replace(/[.+*]/g, '\\$&').replace(/\{[^}]+\}/g, '([^/]+)')}$`),
    }));
  }

  /** The operation that a request is, with its path parameters. */
  operation(method: string, path: string): { key: string; operation: Operation; parameters: Record<string, string> } | undefined {
    // A path without parameters is more exact than one with.
    const found = this.#paths
      .filter((p) => p.pattern.test(path) && this.#description.paths[p.path]?.[method.toLowerCase()])
      .toSorted((a, b) => a.names.length - b.names.length)[0];
    const operation = found && this.#description.paths[found.path]?.[method.toLowerCase()];
    if (!found || !operation) return undefined;
    const values = found.pattern.exec(path)?.slice(1) ?? [];
    const parameters = Object.fromEntries(found.names.map((name, i) => [name, decodeURIComponent(values[i] ?? '')]));
    return { key: `${method} ${found.path}`, operation, parameters };
  }

  /** What is wrong with a request; fields that the description does not know count as wrong too. */
  requestProblems(method: string, url: URL, base: string, body: unknown): string[] {
    const found = this.operation(method, url.pathname.slice(base.length));
    if (!found) return [`${method} ${url.pathname}: GitHub has no such operation`];
    const problems: string[] = [];
    const query = Object.fromEntries(url.searchParams);
    const known = (found.operation.parameters ?? []).map((p) => this.#resolve(p) as Parameter);
    for (const name of Object.keys(query))
      if (!known.some((p) => p.in === 'query' && p.name === name)) problems.push(`query parameter ${name} is not described`);
    for (const p of known) {
      const text = p.in === 'path' ? found.parameters[p.name] : p.in === 'query' ? query[p.name] : undefined;
      if (text === undefined) {
        if (p.required && p.in !== 'header') problems.push(`parameter ${p.name} is missing`);
        continue;
      }
      const value = p.schema.type === 'integer' ? Number(text) : text;
      problems.push(...this.#problems(`${found.key} ${p.name}`, p.schema, value));
    }
    const schema = found.operation.requestBody?.content['application/json']?.schema;
    if (schema && body !== undefined) {
      problems.push(...this.#problems(`${found.key} body`, schema, body));
      const fields = Object.keys((schema.properties ?? {}) as Json);
      for (const field of Object.keys(body as Json))
        if (!fields.includes(field)) problems.push(`field ${field} is not described`);
    } else if (body !== undefined && Object.keys(body as Json).length > 0) problems.push('a body is not described');
    return problems;
  }

  /** What is wrong with an answer. Errors that an operation does not list have the form of GitHub's errors. */
  answerProblems(method: string, path: string, status: number, body: unknown): string[] {
    const found = this.operation(method, path);
    if (!found || status === 304) return [];
    const listed = found.operation.responses[String(status)];
    const response = listed && (this.#resolve(listed) as { content?: Content });
    const schema = response?.content?.['application/json']?.schema;
    if (schema) return this.#problems(`${found.key} ${status}`, schema, body);
    if (status >= 500) return [];
    if (status >= 400) return this.#problems('error', { $ref: '#/components/schemas/basic-error' }, body);
    return [`${found.key} does not answer ${status}`];
  }

  example(name: string): Json {
    return structuredClone((this.#description.components.examples as Record<string, { value: Json }>)[name]?.value ?? {});
  }

  #resolve(value: object): object {
    if (!('$ref' in value)) return value;
    let at: unknown = this.#description;
    for (const part of String(value.$ref).split('/').slice(1)) at = (at as Json)[part];
    return at as object;
  }

  #problems(key: string, schema: Json, value: unknown): string[] {
    let check = this.#checks.get(key);
    if (!check) {
      check = this.#ajv.compile(
        JSON.parse(JSON.stringify(withNull(schema)).replaceAll('"#/components/', '"github#/components/')),
      );
      this.#checks.set(key, check);
    }
    return check(value) ? [] : (check.errors ?? []).map((e) => `${key}${e.instancePath} ${e.message}`);
  }
}

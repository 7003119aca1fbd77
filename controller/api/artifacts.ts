import { extname } from 'node:path/posix';
import type { FastifyPluginCallback } from 'fastify';
import { type Static, Type } from 'typebox';
import { FarmError } from '../../protocol/errors.ts';
import type { ApiDeps } from './deps.ts';
import { runId, token } from './schemas.ts';

const Params = Type.Object({ run: runId });
type Params = Static<typeof Params>;
const FileParams = Type.Object({ run: runId, '*': Type.String({ maxLength: 2_048 }) });
const Query = Type.Object({ step: Type.Optional(token) }, { additionalProperties: false });

export const artifacts: FastifyPluginCallback<Pick<ApiDeps, 'artifacts' | 'farm' | 'index'>> = (
  app,
  { artifacts: views, farm, index },
  done,
) => {
  const find = async (id: string) => {
    const run = farm().runs.get(id) ?? (await index.run(id));
    if (!run) throw new FarmError('NOT_FOUND', { what: `run ${id}` });
    return run;
  };

  app.get<{ Params: Params; Querystring: Static<typeof Query> }>(
    '/runs/:run/artifacts',
    { schema: { params: Params, querystring: Query } },
    async ({ params, query }) => views.list(await find(params.run), query.step),
  );

  app.get<{ Params: Params }>('/runs/:run/junit', { schema: { params: Params } }, async ({ params }) =>
    views.junit(await find(params.run)),
  );

  app.get<{ Params: Static<typeof FileParams> }>(
    '/runs/:run/artifacts/*',
    { schema: { params: FileParams } },
    async ({ params, headers }, reply) => {
      const [step = '', ...path] = params['*'].split('/');
      const file = await views.file(await find(params.run), step, path.join('/'));
      const { type, inline } = typeOf(path.at(-1) ?? '');
      reply.headers({
        'content-type': type,
        'content-disposition': inline ? 'inline' : 'attachment',
        // What a step wrote is a stranger's: it may be looked at, and do nothing.
        'content-security-policy':
          "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
        'accept-ranges': 'bytes',
        etag: `"${file.sha256}"`,
      });
      const range = rangeOf(headers.range, file.sizeBytes);
      if (range === 'unsatisfiable') {
        reply.code(416).header('content-range', `bytes */${file.sizeBytes}`);
        return reply.header('content-length', 0).send('');
      }
      const { start, end } = range ?? { start: 0, end: file.sizeBytes };
      const body = await file.read(range ?? { start: 0 });
      if (range) reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${file.sizeBytes}`);
      return reply.header('content-length', end - start).send(body);
    },
  );
  done();
};

/** Nothing in a file decides how a browser reads it; what is not listed is only saved. */
const types: Record<string, string> = {
  ...Object.fromEntries(
    [
      '.txt',
      '.log',
      '.md',
      '.yaml',
      '.yml',
      '.xml',
      '.csv',
      '.tsv',
      '.out',
      '.err',
      '.diff',
      '.patch',
      '.sh',
      '.go',
      '.py',
      '.js',
      '.ts',
    ].map((e) => [e, 'text/plain; charset=utf-8']),
  ),
  '.json': 'application/json; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.htm': 'text/html; charset=utf-8',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
};

function typeOf(name: string): { type: string; inline: boolean } {
  const type = types[extname(name).toLowerCase()];
  return { type: type ?? 'application/octet-stream', inline: type !== undefined };
}

/** One range of bytes; undefined: the whole, also for what is not understood (RFC 9110, 14.2). `end` is behind the last byte. */
export function rangeOf(
  header: string | undefined,
  sizeBytes: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined;
  if (first === '') {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? 'unsatisfiable' : { start: sizeBytes - length, end: sizeBytes };
  }
  const [start, end] = [Number(first), last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes)];
  if (last !== '' && Number(last) < start) return undefined;
  return start >= sizeBytes ? 'unsatisfiable' : { start, end };
}

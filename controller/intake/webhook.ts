import { createHmac, timingSafeEqual } from 'node:crypto';
import type { FastifyPluginCallback, FastifyRequest } from 'fastify';
import type { HookAnswer } from '../../protocol/api.ts';
import { FarmError } from '../../protocol/errors.ts';
import { toToken } from '../../protocol/token.ts';
import type { Accept } from './accept.ts';

/** GitHub sends no webhook over 25 MB. */
export const maxHookBytes = 25 * 1024 * 1024;
/** GitHub's payloads have about ten levels; whoever handles one may walk it recursively. */
const maxDepth = 200;

export type WebhookDeps = {
  accept: Accept;
  /** Any of them may have signed: two while one is exchanged for the other. */
  secrets: () => readonly string[];
  /** Milliseconds since the epoch. */
  wallMs: () => number;
  /** Bodies that are held at a time, being read or stored, bytes; more is told to come back. */
  maxHeldBytes?: number;
};

type Head = { event: string; id: string; signature: string };

/** `POST /hook`: a GitHub webhook is checked, stored, and only then answered with 202. Errors are thrown as FarmErrors. */
export const webhook: FastifyPluginCallback<WebhookDeps> = (
  app,
  { accept, secrets, wallMs, maxHeldBytes = 8 * maxHookBytes },
  done,
) => {
  const heads = new WeakMap<FastifyRequest, Head>();
  const held = new Map<FastifyRequest, number>();
  let heldBytes = 0;

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body));

  /** All that can be said before a byte of the body is read. */
  app.addHook('onRequest', async (request) => {
    if (usable(secrets()).length === 0) throw new FarmError('NO_WEBHOOK_SECRET', {});
    heads.set(request, readHead(request.headers));
    const bytes = Number(request.headers['content-length'] ?? maxHookBytes);
    if (heldBytes + bytes > maxHeldBytes)
      throw new FarmError('UNAVAILABLE', { detail: 'too many webhooks at a time', afterS: 10 });
    held.set(request, bytes);
    heldBytes += bytes;
  });
  const release = async (request: FastifyRequest) => {
    heldBytes -= held.get(request) ?? 0;
    held.delete(request);
  };
  app.addHook('onResponse', release);
  app.addHook('onRequestAbort', release);

  app.post('/hook', { bodyLimit: maxHookBytes }, async (request, reply): Promise<HookAnswer> => {
    const head = heads.get(request);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    if (!head || !isSigned(body, head.signature, usable(secrets()))) throw new FarmError('BAD_SIGNATURE', {});
    const payload = readPayload(body);
    const id = toToken(head.id);
    const delivery = { v: 1, source: 'github', id, atMs: wallMs(), by: senderOf(payload), event: head.event, payload } as const;
    const { duplicate } = await accept(delivery, body);
    reply.code(202);
    return { delivery: `github/${id}`, duplicate };
  });
  done();
};

const usable = (secrets: readonly string[]): string[] => secrets.filter((s) => s !== '');

function readHead(headers: FastifyRequest['headers']): Head {
  const type = headers['content-type'] ?? '';
  if (!/^application\/json *(;|$)/i.test(type))
    throw new FarmError('BAD_CONTENT_TYPE', { got: type.slice(0, 100), want: 'application/json' });
  const event = one(headers['x-github-event']);
  if (!/^[a-z][a-z0-9_]{0,63}$/.test(event))
    throw new FarmError('BAD_HEADER', { header: 'X-GitHub-Event', detail: "expected the name of one event, such as 'push'" });
  const id = one(headers['x-github-delivery']);
  if (!/^[\x21-\x7e]{1,255}$/.test(id))
    throw new FarmError('BAD_HEADER', { header: 'X-GitHub-Delivery', detail: "expected the delivery's GUID" });
  if (Number(headers['content-length'] ?? 0) > maxHookBytes) throw new FarmError('BODY_TOO_LARGE', { maxBytes: maxHookBytes });
  const signature = one(headers['x-hub-signature-256']);
  if (!/^sha256=[0-9a-f]{64}$/.test(signature))
    throw new FarmError('UNAUTHORIZED', { need: "header X-Hub-Signature-256 must be 'sha256=' and 64 hexadecimal digits" });
  return { event, id, signature };
}

const one = (header: string | string[] | undefined): string => (typeof header === 'string' ? header : '');

/** Tries every secret, so that the time taken tells neither which one fits nor how nearly. */
function isSigned(body: Uint8Array, signature: string, secrets: readonly string[]): boolean {
  const said = Buffer.from(signature.slice('sha256='.length), 'hex');
  let fits = false;
  for (const secret of secrets) {
    const ours = createHmac('sha256', secret).update(body).digest();
    if (timingSafeEqual(said, ours)) fits = true;
  }
  return fits;
}

/** The payload: always an object, as GitHub's are. */
function readPayload(body: Uint8Array): object {
  if (isTooDeep(body)) throw new FarmError('BAD_REQUEST', { detail: `the body is nested more than ${maxDepth} levels deep` });
  let payload: unknown;
  try {
    payload = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch (error) {
    throw new FarmError('BAD_REQUEST', { detail: 'the body is not JSON in UTF-8' }, { cause: error });
  }
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload))
    throw new FarmError('BAD_REQUEST', { detail: 'the body is JSON, but not an object' });
  return payload;
}

/** Counts brackets outside of strings; on what is not JSON the answer means nothing. */
function isTooDeep(json: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < json.length; i += 1) {
    const byte = json[i];
    if (inString) {
      if (byte === 0x5c) i += 1;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > maxDepth) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return false;
}

function senderOf(payload: object): string {
  const sender: unknown = 'sender' in payload ? payload.sender : undefined;
  const login: unknown = typeof sender === 'object' && sender !== null && 'login' in sender ? sender.login : undefined;
  return typeof login === 'string' && login !== '' && login.length <= 255 ? login : 'github';
}

import assert from 'node:assert/strict';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { maxSourceBytes } from '../../../protocol/source.ts';
import { asAdmin, testApi } from '../../support/api.ts';

const post = (payload: Buffer | string, type: string) => ({
  method: 'POST' as const,
  url: '/api/uploads',
  headers: { ...asAdmin, 'content-type': type },
  payload,
});

test('a body of any size up to the limit is handed on, and its name is the answer', async () => {
  const { app } = testApi();
  const answer = await app.inject(post(Buffer.alloc(1024 * 1024), 'application/octet-stream'));
  assert.equal(answer.statusCode, 201);
  assert.deepEqual(answer.json(), { upload: 'a'.repeat(64), sizeBytes: 1024 * 1024 });
  await app.close();
});

test('what is no file is refused', async () => {
  const { app } = testApi();
  assert.equal((await app.inject(post('{}', 'application/json'))).statusCode, 415);
  await app.close();
});

test('what says that it is too large, or grows too large, is refused', async () => {
  const { app } = testApi();
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const send = (headers: Record<string, string>, mebibytes: number) =>
    new Promise<number | undefined>((resolve, reject) => {
      const asking = request({ port, host: '127.0.0.1', method: 'POST', path: '/api/uploads' }, (answer) => {
        answer.resume();
        asking.off('error', reject).on('error', () => {});
        resolve(answer.statusCode);
        asking.destroy();
      });
      asking.on('error', reject);
      for (const [name, value] of Object.entries({ ...asAdmin, 'content-type': 'application/octet-stream', ...headers }))
        asking.setHeader(name, value);
      const piece = Buffer.alloc(1024 * 1024);
      const more = (left: number): void => {
        if (left > 0 && !asking.destroyed) asking.write(piece, () => more(left - 1));
      };
      more(mebibytes);
    });
  assert.equal(await send({ 'content-length': String(maxSourceBytes + 1) }, 1), 413);
  assert.equal(await send({ 'transfer-encoding': 'chunked' }, maxSourceBytes / 1024 ** 2 + 1), 413);
  await app.close();
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fetchSource } from '../../../agent/workspace/fetch-source.ts';
import { tempDir } from '../../support/temp-dir.ts';

const bytes = Buffer.from('a bundle');
const upload = createHash('sha256').update(bytes).digest('hex');
const task = { run: '17', step: 'checkout', attempt: 1, token: 'secret', source: { upload } };
const urls = ['http://c1:1', 'http://c2:1'];
const never = new AbortController().signal;

/** Controllers that give these answers, one after the other. */
function controllers(...answers: (Response | Error)[]) {
  const asked: { url: string; headers: Headers }[] = [];
  const ask: typeof fetch = async (url, init) => {
    asked.push({ url: String(url), headers: new Headers(init?.headers) });
    const answer = answers.shift();
    if (!(answer instanceof Response)) throw answer ?? new Error('nobody is there');
    return answer;
  };
  return { asked, deps: { fetch: ask, urls, agent: 'a1', retryMs: [0, 0, 0] } };
}

const refusal = (status: number, message: string) => Response.json({ error: { code: 'X', message } }, { status });

test('the source is asked of one controller after the other until all of it is there', async () => {
  await using dir = await tempDir('source');
  const file = join(dir.path, 'bundle');
  const { asked, deps } = controllers(new Error('refused'), refusal(503, 'not now'), new Response('half'), new Response(bytes));
  await fetchSource(task, file, never, deps);
  assert.deepEqual(await readFile(file), bytes);
  const path = '/api/runs/17/steps/checkout/attempts/1/source';
  assert.deepEqual(
    asked.map((a) => a.url),
    ['http://c1:1', 'http://c2:1', 'http://c1:1', 'http://c2:1'].map((url) => url + path),
  );
  assert.deepEqual([asked[0]?.headers.get('authorization'), asked[0]?.headers.get('thresh-agent')], ['Bearer secret', 'a1']);
});

test('a refusal is final, and what nobody gives is given up; nothing is left', async () => {
  await using dir = await tempDir('source');
  const file = join(dir.path, 'bundle');
  const gone = controllers(refusal(404, 'there is no such source'));
  await assert.rejects(fetchSource(task, file, never, gone.deps), /cannot be had: there is no such source/);
  assert.equal(gone.asked.length, 1);
  const wrong = controllers(...Array.from({ length: 4 }, () => new Response('other')));
  await assert.rejects(fetchSource(task, file, never, wrong.deps), /what came is not what was sent/);
  assert.deepEqual(await readdir(dir.path), []);
});

test('it ends when the step is asked to', async () => {
  await using dir = await tempDir('source');
  const stop = new AbortController();
  const { deps } = controllers();
  const fetching = fetchSource(task, join(dir.path, 'bundle'), stop.signal, { ...deps, retryMs: [60_000] });
  stop.abort(new Error('stopped'));
  await assert.rejects(fetching, /stopped|aborted/);
});

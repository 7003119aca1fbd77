import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { type Asked, fakeFarm, someDir, thresh } from './harness.ts';

/** A directory with events and a secret. */
async function events(bodies: Record<string, string>) {
  const dir = await someDir();
  for (const [name, body] of Object.entries({ 'hook.secret': 's3cret\n', ...bodies })) await writeFile(join(dir.dir, name), body);
  return Object.assign(dir, { file: (name: string) => join(dir.dir, name) });
}
const accept = (asked: Asked) => ({
  status: 202,
  body: { delivery: `github/${asked.headers['x-github-delivery']}`, duplicate: false },
});

test('an event is sent as GitHub does: the bytes of the file, signed, with its headers', async () => {
  await using farm = await fakeFarm();
  const body = '{ "ref":  "refs/heads/main",\n "é": 1 }\n';
  await using dir = await events({ 'push.json': body });
  farm.on('POST /hook', accept);
  const args = ['webhook', dir.file('push.json'), '--event', 'push', '--secret-file', dir.file('hook.secret')];
  const { code, out } = await thresh([...args, '--delivery', 'abc-1', '--url', farm.url]);
  assert.equal(code, 0);
  assert.match(out, /accepted github\/abc-1 .*push\.json\none event sent: 1 accepted\n/);
  const [asked] = farm.asked;
  assert.equal(asked?.body, body);
  assert.equal(asked?.headers['x-hub-signature-256'], `sha256=${createHmac('sha256', 's3cret').update(body).digest('hex')}`);
  assert.equal(asked?.headers['x-github-event'], 'push');
  assert.equal(asked?.headers['x-github-delivery'], 'abc-1');
  assert.equal(asked?.headers['content-type'], 'application/json');
  assert.match(asked?.headers['user-agent'] ?? '', /^GitHub-Hookshot\//);
  assert.equal(asked?.headers.authorization, undefined, 'a webhook is signed; the token is not for it');
});

test('an event is read from standard input', async () => {
  await using farm = await fakeFarm();
  farm.on('POST /hook', accept);
  const stdin = Readable.from([Buffer.from('{"a"'), Buffer.from(':1}')]);
  assert.equal((await thresh(['webhook', '-', '--event', 'ping', '--url', farm.url], { stdin })).code, 0);
  assert.equal(farm.asked[0]?.body, '{"a":1}');
  assert.equal(farm.asked[0]?.headers['x-hub-signature-256'], undefined);
});

test('several files and repeats are sent with an id each, a few at a time', async () => {
  await using farm = await fakeFarm();
  await using dir = await events({ 'a.json': '{}', 'b.json': '[]' });
  farm.on('POST /hook', accept);
  let [open, most] = [0, 0];
  const counted: typeof fetch = async (...request) => {
    most = Math.max(most, ++open);
    const response = await fetch(...request);
    open--;
    return response;
  };
  const args = ['webhook', dir.file('a.json'), dir.file('b.json'), '--event', 'push', '--repeat', '20', '--concurrency', '3'];
  const { code, out } = await thresh([...args, '--json', '--url', farm.url], { fetch: counted });
  assert.equal(code, 0);
  const answer = JSON.parse(out);
  assert.deepEqual([answer.sent, answer.accepted, answer.duplicates, answer.unsent], [40, 40, 0, []]);
  assert.equal(new Set(answer.deliveries.map((d: { delivery: string }) => d.delivery)).size, 40);
  assert.equal(most, 3);
});

test('the same delivery again is known', async () => {
  await using farm = await fakeFarm();
  await using dir = await events({ 'a.json': '{}' });
  let known = false;
  farm.on('POST /hook', () => {
    const duplicate = known;
    known = true;
    return { status: 202, body: { delivery: 'github/d', duplicate } };
  });
  const { out } = await thresh([
    'webhook',
    dir.file('a.json'),
    '--event',
    'push',
    '--delivery',
    'd',
    '--repeat',
    '3',
    '--url',
    farm.url,
  ]);
  assert.match(out, /3 events sent: 3 accepted \(2 known already\)/);
});

test('what is refused is listed with status and reason, not sent again, and ends with 4', async () => {
  await using farm = await fakeFarm();
  await using dir = await events({ 'good.json': '{"good":1}', 'bad.json': '{"bad":1}' });
  farm.on('POST /hook', (asked) =>
    asked.body.includes('good')
      ? accept(asked)
      : { status: 401, body: { error: { code: 'BAD_SIGNATURE', message: 'the signature does not match' } } },
  );
  const args = ['webhook', dir.file('good.json'), dir.file('bad.json'), '--event', 'push', '--url', farm.url];
  const { code, out } = await thresh(args);
  assert.equal(code, 4);
  assert.match(out, /bad\.json .* 401 +BAD_SIGNATURE: the signature does not match/);
  assert.match(out, /2 events sent: 1 accepted, 1 not/);
  assert.equal(farm.asked.length, 2);
  const { unsent } = JSON.parse((await thresh([...args, '--json'])).out);
  assert.deepEqual([unsent.length, unsent[0].status, unsent[0].code], [1, 401, 'BAD_SIGNATURE']);
});

test('what nobody answers is sent again under the same id, and ends with 5 when it stays so', async () => {
  await using farm = await fakeFarm();
  await using dir = await events({ 'a.json': '{}' });
  let failures = 2;
  farm.on('POST /hook', (asked, response) => {
    if (failures-- <= 0) return accept(asked);
    if (failures === 1) return { status: 503, body: { error: { code: 'UNAVAILABLE', message: 'not now' } } };
    response.destroy();
    return undefined;
  });
  const args = ['webhook', dir.file('a.json'), '--event', 'push', '--url', farm.url];
  assert.equal((await thresh(args)).code, 0);
  assert.equal(new Set(farm.asked.map((a) => a.headers['x-github-delivery'])).size, 1);
  assert.equal(farm.asked.length, 3);
  failures = Number.POSITIVE_INFINITY;
  const { code, out } = await thresh(args);
  assert.equal(code, 5);
  assert.match(out, /one event sent: 0 accepted, 1 not/);
});

test('files that are no events are wrong usage, and nothing is sent', async () => {
  await using farm = await fakeFarm();
  await using dir = await events({ 'good.json': '{}', 'bad.json': 'ref: main' });
  const cases: [string[], RegExp][] = [
    [[dir.file('good.json'), dir.file('bad.json')], /bad\.json is not JSON/],
    [[dir.file('none.json')], /cannot read .*none\.json/],
    [[dir.file('good.json'), dir.file('good.json'), '--delivery', 'd'], /--delivery wants one file/],
    [[dir.file('good.json'), '--secret-file', dir.file('none')], /--secret-file/],
  ];
  for (const [args, sentence] of cases) {
    const { code, err } = await thresh(['webhook', ...args, '--event', 'push', '--url', farm.url]);
    assert.equal(code, 2);
    assert.match(err, sentence);
  }
  assert.equal(farm.asked.length, 0);
});

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { processExecutor } from '../../../agent/executor/process.ts';
import type { FarmRecord } from '../../../protocol/record.ts';
import { streams } from '../../../protocol/streams.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { readRecords, type Stored } from '../../support/read-streams.ts';

/** `pieces` prints the secret in two writes, and then across the border between two chunks of the log. */
const jobs = `
manual:
- name: uses
  steps:
  - name: knows
    secrets: {TOKEN: deploy-token}
    script: printf %s "$TOKEN" | sha256sum
  - name: pieces
    needs: [knows]
    secrets: {TOKEN: deploy-token}
    script: |
      half=$(printf %s "$TOKEN" | cut -c1-17); rest=$(printf %s "$TOKEN" | cut -c18-)
      printf '<%s' "$half"; sleep 0.3; printf '%s>\\n' "$rest"
      head -c 65520 /dev/zero | tr '\\0' x
      printf '<%s>\\n' "$TOKEN"
      printf '%s' "$TOKEN" | base64 -w0 | tr -d =
  - name: not-told
    needs: [pieces]
    script: echo "\${TOKEN-unset}"
- name: wrong
  steps:
  - {name: main, secrets: {TOKEN: deploy-tokn}, script: "echo begun"}
`;

async function farmWith(secret: string) {
  await using stack = new AsyncDisposableStack();
  const farm = stack.use(
    await TestFarm.start({
      jobs: { 'jobs.yaml': jobs },
      secrets: { 'deploy-token': `${secret}\n` },
      times: quickTimes,
    }),
  );
  // Steps of another user pass it.
  await chmod(farm.dir, 0o711);
  await farm.addAgent({ name: 'a1', executor: processExecutor() });
  stack.move();
  return farm;
}

test('a step gets the secret that it names, and it stands nowhere in clear: not in messages, objects, logs, journal or index', async () => {
  const secret = randomBytes(24).toString('base64url');
  await using farm = await farmWith(secret);
  const nc = await farm.nats.connect();
  const heard: Buffer[] = [];
  nc.subscribe('>', { callback: (_, m) => void heard.push(Buffer.from(m.data)) });
  const run = await farm.ended(await farm.run('uses'));
  assert.equal(run.state, 'passed', run.reason);

  const sha = createHash('sha256').update(secret).digest('hex');
  assert.equal(await farm.logOf(run.id, 'knows'), `${sha}  -\n`);
  assert.equal((await farm.logOf(run.id, 'pieces')).replace('x'.repeat(65_520), '(many)'), '<***>\n(many)<***>\n***');
  assert.equal(await farm.logOf(run.id, 'not-told'), 'unset\n');
  const isArchived = ({ value }: Stored<FarmRecord>) => value.type === 'run' && value.events.some((e) => e.type === 'archived');
  await farm.until('it is archived', async () => (await readRecords(nc)).some(isArchived));

  const forms = [secret, Buffer.from(secret).toString('base64').replace(/=+$/, ''), Buffer.from(secret).toString('hex')];
  const shown = (bytes: Buffer) => forms.some((form) => bytes.includes(form));
  const stored = (await Promise.all(streams.map(({ name }) => messagesOf(farm, name)))).flat();
  assert.ok(stored.length > 10 && heard.length > 10);
  assert.equal(stored.filter(shown).length, 0, 'a stored message shows it');
  assert.equal(heard.filter(shown).length, 0, 'a message shows it');
  const files = [...(await filesBelow(farm.dir)), ...(await filesBelow(farm.nats.dir))];
  assert.ok(files.some((f) => f.endsWith('journal.jsonl')) && files.some((f) => f.endsWith('.db')));
  const showing = [];
  for (const file of files) if (shown(await readFile(file))) showing.push(file);
  assert.deepEqual(showing, [join(farm.settings.secretsDir ?? '', 'deploy-token')], 'only where the operator has put it');
});

test('a secret that is not there ends the step in an error that names it', async () => {
  await using farm = await farmWith('x');
  const run = await farm.ended(await farm.run('wrong'));
  assert.deepEqual([run.state, run.at[0]?.state], ['errored', 'errored']);
  assert.equal(run.reason, "step 'main' ended in an error: secret 'deploy-tokn': there is none of this name");
});

async function messagesOf(farm: TestFarm, stream: string): Promise<Buffer[]> {
  const jsm = await jetstreamManager(await farm.nats.connect());
  const { state } = await jsm.streams.info(stream);
  const found: Buffer[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await jsm.streams.getMessage(stream, { seq }).catch(() => null);
    if (message) found.push(Buffer.from(message.data), Buffer.from(JSON.stringify(message.header ?? '')));
  }
  return found;
}

async function filesBelow(dir: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true });
  const files: string[] = [];
  for (const name of names) if ((await stat(join(dir, name)).catch(() => undefined))?.isFile()) files.push(join(dir, name));
  return files;
}

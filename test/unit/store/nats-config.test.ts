import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createUser } from '@nats-io/nkeys';
import { agentsConf, type NatsSettings, natsConfig } from '../../../controller/store/nats-config.ts';

const user = () => createUser().getPublicKey();
const settings = (changes: Partial<NatsSettings> = {}): NatsSettings => ({
  serverName: 'thresh',
  listen: { host: '127.0.0.1', port: 4222 },
  monitorPort: -1,
  storeDir: '/data/nats',
  pidFile: '/data/nats/nats.pid',
  portsDir: '/data/nats/ports',
  controllerKey: user(),
  operatorKey: user(),
  maxFileStoreBytes: 1_000_000,
  ...changes,
});

test('the same agents give the same file, in whatever order they come', () => {
  const [a, b] = [
    { id: 'a', publicKey: user() },
    { id: 'b', publicKey: user() },
  ];
  assert.equal(agentsConf([a, b]), agentsConf([b, a]));
});

test('an agent may speak under its own id only', () => {
  const text = agentsConf([{ id: 'node-1', publicKey: user() }]);
  assert.deepEqual(text.match(/"[^"]+"/g), [
    '"$JS.API.CONSUMER.MSG.NEXT.TASKS.node-1"',
    '"beat.node-1"',
    '"notice.node-1.>"',
    '"_INBOX.node-1.>"',
  ]);
});

test('what is no id or no key does not get into the file of the agents', () => {
  for (const id of ['', '*', '>', 'a.b', 'a"b', 'a\nb', 'ä', 'x'.repeat(65)])
    assert.throws(() => agentsConf([{ id, publicKey: user() }]), RangeError, JSON.stringify(id));
  for (const publicKey of ['', 'U', `${user()} }`, createUser().getPublicKey().toLowerCase(), user().replace('U', 'A')])
    assert.throws(() => agentsConf([{ id: 'a', publicKey }]), RangeError, publicKey);
});

test('a value cannot end its string or add a line', () => {
  assert.match(natsConfig(settings({ storeDir: '/a "b\\c' })), /store_dir: "\/a \\"b\\\\c"\n/);
  assert.throws(() => natsConfig(settings({ serverName: 'a\nport: 1' })), RangeError);
});

test('a server that does not know sync_interval is not told about it', () => {
  assert.doesNotMatch(natsConfig(settings()), /sync_interval/);
  assert.match(natsConfig(settings({ syncAlways: true })), /sync_interval: always/);
});

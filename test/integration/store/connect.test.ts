import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createUser } from '@nats-io/nkeys';
import { connectFarm } from '../../../controller/store/connect.ts';
import { isFarmError } from '../../../protocol/errors.ts';
import { startTestNats } from '../../support/nats.ts';

const unreachable = (error: unknown) => isFarmError(error, 'NATS_UNREACHABLE');

test('no server, or a key that it does not know, is said at once', async () => {
  await using nats = await startTestNats({ streams: false });
  const stranger = Buffer.from(createUser().getSeed()).toString();
  await assert.rejects(connectFarm({ url: nats.url, seed: stranger, name: 'test' }), unreachable);
  await assert.rejects(connectFarm({ url: nats.url, seed: 'not a seed', name: 'test' }), unreachable);
  await nats.crash();
  const refused = connectFarm({ url: nats.url, seed: nats.controllerSeed, name: 'test' });
  await assert.rejects(refused, (e) => unreachable(e) && e instanceof Error && !e.message.includes(nats.controllerSeed));
});

test('a connection and its subscriptions outlive the server', async () => {
  await using nats = await startTestNats({ streams: false });
  const said: string[] = [];
  const note = (_: object, message: string) => void said.push(message);
  const log = { debug: note, info: note, warn: note, error: note };
  const nc = await connectFarm({ url: nats.url, seed: nats.controllerSeed, name: 'test', log });
  const heard = nc.subscribe('heartbeat', { max: 1 });
  const back = (async () => {
    for await (const s of nc.status()) if (s.type === 'reconnect') return;
  })();
  await nats.restart();
  await back;
  nc.publish('heartbeat', 'still here');
  for await (const m of heard) assert.equal(m.string(), 'still here');
  assert.deepEqual(said, ['NATS is away', 'NATS is back']);
  await nc.close();
});

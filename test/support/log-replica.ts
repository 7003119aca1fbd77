/*
 * A replica that only takes logs, as a process of its own that a test can kill. Its parent sends what it needs and is sent its URL.
 * Every attempt is open.
 */
import { connectFarm } from '../../controller/store/connect.ts';
import { fileObjects } from '../../controller/store/file-objects.ts';
import { ingestReplica, storeOn } from './log-farm.ts';

export type ReplicaStart = { nats: string; seed: string; objectsDir: string; farmKey: string };

process.once('message', async ({ nats, seed, objectsDir, farmKey }: ReplicaStart) => {
  const { store } = await storeOn(await connectFarm({ url: nats, seed, name: 'log-replica' }));
  const { url } = await ingestReplica({
    store,
    objects: fileObjects(objectsDir),
    farmKey: Buffer.from(farmKey, 'base64'),
    lookup: () => 'open',
    changed: () => new Promise(() => {}),
  });
  process.send?.({ url });
});
process.once('disconnect', () => process.exit());

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DiskSpace, watchDisks } from '../../../controller/store/disk-watch.ts';

const gib = 1024 ** 3;

/** A watch over disks whose space the test sets; it looks when it is told to. */
async function watching(space: Record<string, DiskSpace | Error>, leastFreeBytes?: number) {
  const said: string[] = [];
  const say = (level: string) => (facts: object, message: string) =>
    said.push(`${level} ${(facts as { disk?: string }).disk}: ${message}`);
  const watch = await watchDisks({
    disks: Object.keys(space).map((name) => ({ name, dir: name })),
    leastFreeBytes,
    log: { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    spaceOf: async (dir) => {
      const found = space[dir];
      if (!found || found instanceof Error) throw found ?? new Error('none');
      return found;
    },
    everyMs: 1_000_000,
  });
  watch.stop();
  return { watch, said };
}

test('below 1 GiB or 5 % nothing new is accepted, and again only when a quarter more is free', async () => {
  const space = { nats: { totalBytes: 100 * gib, freeBytes: 5 * gib } };
  const { watch, said } = await watching(space);
  assert.equal(watch.problem(), undefined);
  space.nats.freeBytes -= 1;
  await watch.look();
  assert.equal(watch.problem(), 'the disk of nats is nearly full: 5119 MiB free, 5120 MiB needed');
  space.nats.freeBytes = 6 * gib;
  await watch.look();
  assert.ok(watch.problem(), 'still too little to go on');
  space.nats.freeBytes = 6.25 * gib;
  await watch.look();
  assert.equal(watch.problem(), undefined);
  assert.deepEqual(said, [
    'error nats: the disk is nearly full: nothing new is accepted until there is room',
    'info nats: the disk has room again: deliveries are accepted',
  ]);
  const small = await watching({ nats: { totalBytes: 2 * gib, freeBytes: gib - 1 } });
  assert.ok(small.watch.problem(), 'of a small disk 1 GiB must be free');
});

test('a disk that cannot be asked counts as it was, and is complained of once', async () => {
  const space: Record<string, DiskSpace | Error> = { objects: { totalBytes: 100, freeBytes: 1 } };
  const { watch, said } = await watching(space, 10);
  assert.ok(watch.problem());
  space.objects = new Error('EIO');
  await watch.look();
  await watch.look();
  assert.ok(watch.problem());
  assert.equal(said.filter((line) => line === 'warn objects: free space cannot be read').length, 1);
});

test('the space of a directory that is not made yet is that of the one above', async () => {
  const watch = await watchDisks({
    disks: [{ name: 'objects', dir: '/tmp/nothing/of/this/is/there' }],
    leastFreeBytes: Number.MAX_SAFE_INTEGER,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  watch.stop();
  assert.match(watch.problem() ?? '', /nearly full/);
  assert.ok((watch.disks()[0]?.totalBytes ?? 0) > 0);
});

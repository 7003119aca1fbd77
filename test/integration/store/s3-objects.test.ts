import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { type S3Settings, s3Objects } from '../../../controller/store/s3-objects.ts';
import { need } from '../../support/need.ts';
import { objectsSuite } from '../../support/objects-suite.ts';
import { startTestS3, type TestS3 } from '../../support/s3.ts';

describe('S3', { skip: need('ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin') }, () => {
  let s3: TestS3;
  before(async () => {
    s3 = await startTestS3();
  });
  after(() => s3?.[Symbol.asyncDispose]());

  const open = (settings: S3Settings) => {
    const objects = s3Objects(settings);
    return { objects, [Symbol.asyncDispose]: async () => objects.close() };
  };
  objectsSuite('S3, below a prefix', async () => open({ ...(await s3.bucket()), prefix: 'farm/one/' }));

  const partsIn = async (settings: S3Settings) => {
    const client = new S3Client({ ...settings, forcePathStyle: true });
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: settings.bucket }));
    client.destroy();
    return Uploads.length;
  };

  test('a long stream that breaks leaves no pieces behind', async () => {
    const settings = await s3.bucket();
    await using it = open(settings);
    const body = new PassThrough();
    const put = it.objects.put('long', body);
    put.catch(() => {});
    for (let i = 0; i < 20; i++) if (!body.write(Buffer.alloc(1024 * 1024))) await new Promise((r) => body.once('drain', r));
    while ((await partsIn(settings)) === 0) await new Promise((r) => setTimeout(r, 20));
    body.destroy(new Error('the sender is gone'));
    await assert.rejects(put, /the sender is gone/);
    assert.equal(await partsIn(settings), 0);
    assert.equal(await it.objects.get('long'), undefined);
  });

  test('more objects than one page holds are listed to the last', async () => {
    await using it = open(await s3.bucket());
    const keys = Array.from({ length: 1_100 }, (_, i) => `many/${String(i).padStart(4, '0')}`);
    for (let i = 0; i < keys.length; i += 50)
      await Promise.all(keys.slice(i, i + 50).map((key) => it.objects.put(key, Buffer.from('x'))));
    const listed: string[] = [];
    for await (const { key } of it.objects.list('many/')) listed.push(key);
    assert.deepEqual(listed, keys);
  });

  test('two prefixes of one bucket do not see each other', async () => {
    const settings = await s3.bucket();
    await using one = open({ ...settings, prefix: 'one/' });
    await using two = open({ ...settings, prefix: 'two/' });
    await one.objects.put('a', Buffer.from('1'));
    assert.equal(await two.objects.get('a'), undefined);
    for await (const { key } of two.objects.list('')) assert.fail(`listed ${key}`);
    await assert.rejects(two.objects.get('../one/a'));
  });

  test('a bucket that is not there, and wrong keys, are errors and not empty answers', async () => {
    const settings = await s3.bucket();
    await using none = open({ ...settings, bucket: 'there-is-no-such' });
    await assert.rejects(none.objects.get('a'), { name: 'NoSuchBucket' });
    await using stranger = open({ ...settings, credentials: { accessKeyId: 'nobody', secretAccessKey: 'nothing' } });
    await assert.rejects(stranger.objects.get('a'));
  });
});

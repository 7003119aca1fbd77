import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { processExecutor } from '../../../agent/executor/process.ts';
import { type S3Settings, s3Objects } from '../../../controller/store/s3-objects.ts';
import type { JUnitAnswer } from '../../../protocol/artifact.ts';
import { quickTimes, TestFarm } from '../../support/farm.ts';
import { need } from '../../support/need.ts';
import { objectsSuite } from '../../support/objects-suite.ts';
import { startTestS3, type TestS3 } from '../../support/s3.ts';

describe('S3', { skip: need('ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin') }, () => {
  let s3: TestS3;
  before(async () => {
    s3 = await startTestS3();
  });
  after(() => s3?.[Symbol.asyncDispose]());

  const open = (settings: S3Settings, how?: Parameters<typeof s3Objects>[1]) => {
    const objects = s3Objects(settings, how);
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
    await using it = open(await s3.bucket(), { pageKeys: 10 });
    const keys = Array.from({ length: 35 }, (_, i) => `many/${String(i).padStart(4, '0')}`);
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

  test('a whole farm keeps logs, artifacts and results in a bucket, and reads them from there', async () => {
    const settings = await s3.bucket();
    await using it = open({ ...settings, prefix: 'farm/' });
    const jobs = `manual:
- name: job
  steps:
  - name: test
    script: |
      echo out
      head -c 20000000 /dev/zero > "$ARTIFACTS/zeros"
      echo '<testsuite><testcase name="a"/></testsuite>' > "$ARTIFACTS/junit.xml"
`;
    await using farm = await TestFarm.start({
      jobs: { 'jobs.yaml': jobs },
      times: quickTimes,
      settings: { s3: { ...settings, prefix: 'farm/' } },
    });
    await chmod(farm.dir, 0o711);
    await farm.addAgent({ name: 'a1', executor: processExecutor() });
    const { id, state, reason } = await farm.ended(await farm.run('job'));
    assert.equal(state, 'passed', reason);
    await farm.until('it is archived', async () => (await farm.getRun(id)).archived);
    const dir = `results/logs/job/${id}`;
    const keys: string[] = [];
    for await (const { key } of it.objects.list('results/')) keys.push(key);
    assert.deepEqual(
      keys,
      ['artifacts/junit.xml', 'artifacts/zeros', 'build-log.txt', 'finished.json', 'prowjob.json', 'started.json', 'thresh.json']
        .map((name) => `${dir}/${name}`)
        .concat('results/logs/job/latest-build.txt'),
    );
    assert.equal(String(await it.objects.get(`${dir}/build-log.txt`)), 'out\n');
    assert.equal(await farm.logOf(id, 'test'), 'out\n');
    const headers = { authorization: `Bearer ${farm.adminToken}`, range: 'bytes=19999990-' };
    const part = await fetch(`${farm.url}/api/runs/${id}/artifacts/test/zeros`, { headers });
    assert.deepEqual([part.status, (await part.arrayBuffer()).byteLength], [206, 10]);
    assert.equal((await farm.api<JUnitAnswer>('GET', `/api/runs/${id}/junit`)).tests, 1);
  });

  test('a bucket that is not there, and wrong keys, are errors and not empty answers', async () => {
    const settings = await s3.bucket();
    await using none = open({ ...settings, bucket: 'there-is-no-such' });
    await assert.rejects(none.objects.get('a'), { name: 'NoSuchBucket' });
    await using stranger = open({ ...settings, credentials: { accessKeyId: 'nobody', secretAccessKey: 'nothing' } });
    await assert.rejects(stranger.objects.get('a'));
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseObjectsUrl } from '../../../controller/store/object-url.ts';
import { isFarmError } from '../../../protocol/errors.ts';

test('a directory is a directory, and s3:// a bucket', () => {
  assert.deepEqual(parseObjectsUrl('./data/objects'), { dir: './data/objects' });
  assert.deepEqual(parseObjectsUrl('s3://my-bucket'), {
    s3: { bucket: 'my-bucket', prefix: '', region: 'us-east-1', pathStyle: false },
  });
  assert.deepEqual(parseObjectsUrl('s3://my.bucket/farm/one/?endpoint=http://ceph:7480&region=eu'), {
    s3: { bucket: 'my.bucket', prefix: 'farm/one/', region: 'eu', pathStyle: true, endpoint: 'http://ceph:7480' },
  });
  assert.deepEqual(parseObjectsUrl('s3://bucket?endpoint=https://s3.example.org&path-style=false'), {
    s3: { bucket: 'bucket', prefix: '', region: 'us-east-1', pathStyle: false, endpoint: 'https://s3.example.org' },
  });
});

test('what cannot be meant is refused by a sentence', () => {
  const bad: [text: string, why: RegExp][] = [
    ['gs://bucket', /expected a directory, or s3/],
    ['s3://', /expected a directory|name of a bucket/],
    ['s3://UPPER_case', /name of a bucket/],
    ['s3://key:secret@bucket', /credentials come from the environment/],
    ['s3://bucket?enpoint=x', /'enpoint' is not known/],
    ['s3://bucket?endpoint=ceph:7480', /endpoint: expected/],
    ['s3://bucket?path-style=maybe', /path-style: expected/],
    [`s3://bucket/${'x'.repeat(200)}`, /prefix is longer/],
  ];
  for (const [text, why] of bad)
    assert.throws(
      () => parseObjectsUrl(text),
      (error) => isFarmError(error, 'BAD_SETTINGS') && why.test(error.message),
      text,
    );
});

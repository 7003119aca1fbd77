import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCurve } from '@nats-io/nkeys';
import { openSecrets } from '../../../agent/secrets.ts';
import { isFarmError } from '../../../protocol/errors.ts';

const controller = createCurve();
const agent = createCurve();
const sealedBy = controller.getPublicKey();
const seal = (value: string | Buffer, to = agent) =>
  Buffer.from(controller.seal(Buffer.from(value), to.getPublicKey())).toString('base64');

test('secrets come out as the controller sealed them', () => {
  const values = { TOKEN: 's3cret', EMPTY: '', TEXT: 'ünï\ncode', BOM: '\ufeffx' };
  const secrets = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, seal(value)]));
  assert.deepEqual(openSecrets({ secrets, sealedBy }, agent), values);
  assert.deepEqual(openSecrets({ secrets: {} }, agent), {});
});

const flipped = (sealed: string) => {
  const bytes = Buffer.from(sealed, 'base64');
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return bytes.toString('base64');
};

const bad = [
  { name: 'that was sealed for another agent', sealed: seal('s3cret', createCurve()), says: /another agent/ },
  { name: 'that was changed on the way', sealed: flipped(seal('s3cret')), says: /changed on the way/ },
  { name: 'that is not base64', sealed: '!!', says: /not base64/ },
  { name: 'that is too short', sealed: 'AAAA', says: /cannot be opened/ },
  { name: 'with a null byte', sealed: seal('s3\0cret'), says: /null byte/ },
  { name: 'that is no text', sealed: seal(Buffer.from([0xff, 0xfe])), says: /UTF-8/ },
  { name: 'that is too long', sealed: seal('x'.repeat(200_000)), says: /longer than/ },
];
for (const { name, sealed, says } of bad)
  test(`a secret ${name} is refused by its name, without its value`, () => {
    assert.throws(
      () => openSecrets({ secrets: { TOKEN: sealed }, sealedBy }, agent),
      (error) =>
        isFarmError(error, 'BAD_SECRET') &&
        says.test(error.message) &&
        error.message.includes("'TOKEN'") &&
        !error.message.includes('s3'),
    );
  });

test('secrets of nobody, or of someone who is no controller, are refused', () => {
  const secrets = { TOKEN: seal('s3cret') };
  assert.throws(() => openSecrets({ secrets }, agent), /does not say who/);
  assert.throws(() => openSecrets({ secrets, sealedBy: 'XNOBODY' }, agent), /cannot be opened/);
  assert.throws(() => openSecrets({ secrets, sealedBy: createCurve().getPublicKey() }, agent), /another agent/);
});

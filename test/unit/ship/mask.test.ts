import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createMask } from '../../../agent/ship/mask.ts';
import { secretTexts } from '../../../agent/ship/secret-texts.ts';

const masked = (secrets: string[], ...pieces: string[]): string => {
  const mask = createMask(secrets);
  return Buffer.concat([...pieces.map((p) => mask.push(Buffer.from(p))), mask.flush()]).toString();
};

/** The same by brute force: marks every byte of every occurrence. */
function reference(secrets: string[], text: string): string {
  const secret = new Array<boolean>(text.length).fill(false);
  for (const bytes of secretTexts(secrets)) {
    const needle = bytes.toString('latin1');
    for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + 1)) secret.fill(true, at, at + needle.length);
  }
  return [...text].map((c, i) => (!secret[i] ? c : secret[i - 1] ? '' : '***')).join('');
}

test('a secret is replaced, wherever the output is cut', () => {
  for (let cut = 0; cut <= 'say hunter2 twice'.length; cut++)
    assert.equal(masked(['hunter2'], 'say hunter2 twice'.slice(0, cut), 'say hunter2 twice'.slice(cut)), 'say *** twice');
});

test('each long line of a secret of several lines is a secret, with either line end', () => {
  const key = '-----BEGIN-----\nabcdefgh\nxy\nijklmnop\n-----END-----\n';
  assert.equal(masked([key], 'abcdefgh\r\nxy\r\nijklmnop\r\n'), '***\r\nxy\r\n***\r\n');
});

test('a secret with a line end after it is found without one', () => {
  assert.equal(masked(['s3cr3t\n'], 'password s3cr3t!'), 'password ***!');
});

test('base64 of a secret is masked, alone and within something longer that was encoded', () => {
  const secret = 'correct horse battery';
  assert.equal(masked([secret], Buffer.from(secret).toString('base64')).replaceAll('=', ''), '***');
  for (const before of ['', 'u', 'us', 'user:']) {
    const out = masked([secret], Buffer.from(`${before}${secret} and more`).toString('base64'));
    assert.match(out, /\*\*\*/);
    assert.ok(!Buffer.from(out.replace('***', ''), 'base64').toString('latin1').includes('horse'));
  }
});

test('of two secrets that overlap nothing is left', () => {
  assert.equal(masked(['ab', 'bSECRETLONG'], 'xabSECRETLONGx'), 'x***x');
});

test('an occurrence is given out as soon as no longer one can follow', () => {
  const mask = createMask(['token', 'tok']);
  assert.equal(mask.push(Buffer.from('a tok')).toString(), 'a ', 'it may become the longer one');
  assert.equal(mask.push(Buffer.from('en')).toString(), '***');
  assert.equal(mask.push(Buffer.from(' to')).toString(), ' ');
  assert.equal(mask.flush().toString(), 'to');
});

test('bytes that are no text pass unchanged', () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const mask = createMask(['absent']);
  assert.deepEqual(Buffer.concat([mask.push(bytes), mask.flush()]), bytes);
});

const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 6 });
const output = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\n'), maxLength: 80 });

test('for any secrets, output and cuts the result is that of brute force', () => {
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 5 }), fc.array(output, { maxLength: 6 }), (secrets, pieces) => {
      assert.equal(masked(secrets, ...pieces), reference(secrets, pieces.join('')));
    }),
    { numRuns: 2_000 },
  );
});

test('for any secrets of several lines no secret is left', () => {
  const secret = fc.string({ unit: fc.constantFrom('a', 'b', '\n', ' '), minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.array(secret, { maxLength: 3 }), fc.array(output, { maxLength: 4 }), (secrets, pieces) => {
      const woven = pieces.map((p, i) => p + (secrets[i % Math.max(1, secrets.length)] ?? ''));
      const out = masked(secrets, ...woven);
      assert.equal(out, reference(secrets, woven.join('')));
      for (const s of secrets) assert.ok(s.trim() === '' || !out.includes(s.trim()));
    }),
    { numRuns: 1_000 },
  );
});

test('output full of beginnings of a secret costs no more than other output', () => {
  const mask = createMask([`${'a'.repeat(20_000)}b`, 'a'.repeat(10_000)]);
  const startedAtMs = performance.now();
  for (let i = 0; i < 64; i++) mask.push(Buffer.alloc(16_384, 'a'));
  mask.flush();
  assert.ok(performance.now() - startedAtMs < 3_000);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { Notice, noticeSubject, parseNoticeSubject } from '../../../protocol/notice.ts';

const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const counting = fc.integer({ min: 1, max: 1_000_000 });

test('an address comes back from the subject that it makes', () => {
  fc.assert(
    fc.property(token, fc.stringMatching(/^[0-9]{1,20}$/), token, counting, counting, (agent, run, step, attempt, n) => {
      const address = { agent, run, step, attempt, n };
      assert.deepEqual(parseNoticeSubject(noticeSubject(address)), address);
    }),
  );
});

test('each address has one subject: what parses is what would be written', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('notice', '1', '01', '1e1', '0x1', '-1', '0', ' 1', '1.5', 'a', ''), { maxLength: 8 }),
      (parts) => {
        const subject = parts.join('.');
        const address = parseNoticeSubject(subject);
        if (address) assert.equal(noticeSubject(address), subject);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('other subjects have no address', () => {
  for (const subject of [
    '',
    'notice',
    'notice.a.1.s.1',
    'notice.a.1.s.1.1.1',
    'log.a.1.s.1.1',
    'notice.a.1.s.0.1',
    'notice.a.1.s.1.x',
  ])
    assert.equal(parseNoticeSubject(subject), undefined, subject);
});

test('an end says how it ended and how long its log is', () => {
  const end = { v: 1, type: 'end', atMs: 1, outcome: 'fail', exitCode: 1, logBytes: 10 };
  assert.equal(Value.Check(Notice, end), true);
  assert.equal(Value.Check(Notice, { ...end, logBytes: undefined }), false);
  assert.equal(Value.Check(Notice, { ...end, outcome: 'great' }), false);
  assert.equal(Value.Check(Notice, { ...end, message: 'x'.repeat(4097) }), false);
});

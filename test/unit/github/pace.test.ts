import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Pace, publishedLimits } from '../../../controller/github/pace.ts';

/** Sends as fast as it may. @returns when each was sent, milliseconds */
function sendAll(kinds: readonly ('read' | 'urgent' | 'patient')[]): { atMs: number; kind: string }[] {
  const pace = new Pace(publishedLimits);
  let nowMs = 0;
  return kinds.map((kind) => {
    nowMs += kind === 'read' ? pace.readInMs(nowMs) : pace.writeInMs(nowMs, kind === 'urgent');
    assert.equal(
      kind === 'read' ? pace.readInMs(nowMs) : pace.writeInMs(nowMs, kind === 'urgent'),
      0,
      'waiting so long is enough',
    );
    pace.sent(kind === 'read' ? 'read' : 'write', nowMs);
    return { atMs: nowMs, kind };
  });
}

test('no minute has more than 80 writes or 900 points, no hour more than 500 writes, whatever is sent', () => {
  const kinds = fc.array(fc.constantFrom('read' as const, 'read' as const, 'urgent' as const, 'patient' as const), {
    minLength: 600,
    maxLength: 1_500,
    size: 'max',
  });
  fc.assert(
    fc.property(kinds, (list) => {
      const sent = sendAll(list);
      for (const { atMs } of sent) {
        const within = (ms: number) => sent.filter((s) => s.atMs > atMs - ms && s.atMs <= atMs);
        const minute = within(60_000);
        const writes = minute.filter((s) => s.kind !== 'read').length;
        assert.ok(writes <= 80);
        assert.ok(minute.length - writes + 5 * writes <= 900);
        assert.ok(within(3_600_000).filter((s) => s.kind !== 'read').length <= 500);
      }
    }),
    { numRuns: 25 },
  );
});

test('two writes are a second apart', () => {
  const [first, second] = sendAll(['patient', 'urgent']);
  assert.deepEqual([first?.atMs, second?.atMs], [0, 1_000]);
});

test('the last quarter of an hour’s writes is for urgent ones', () => {
  const sent = sendAll([...Array<'patient'>(376).fill('patient')]);
  assert.equal(sent[374]?.atMs, 374_000);
  assert.equal(sent[375]?.atMs, 3_600_000);
  assert.equal(sendAll([...Array<'patient'>(375).fill('patient'), 'urgent']).at(-1)?.atMs, 375_000);
});

test('a limit of 0 is none', () => {
  const pace = new Pace({ gapMs: 0, writesPerMinute: 0, writesPerHour: 0, pointsPerMinute: 0 });
  for (let i = 0; i < 10_000; i += 1) pace.sent('write', 0);
  assert.equal(pace.writeInMs(0, false), 0);
  assert.equal(pace.readInMs(0), 0);
});

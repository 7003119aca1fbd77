import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { ask } from '../../../controller/intake/request.ts';
import { Delivery, type Request } from '../../../protocol/delivery.ts';
import { FarmError } from '../../../protocol/errors.ts';
import type { Verdict } from '../../../protocol/record.ts';
import { verdictOf } from '../../support/api.ts';
import { newRun } from '../../support/runs.ts';

const request: Request = { kind: 'run', job: 'unit' };
const anna = { source: 'person', by: 'anna' } as const;
const wallMs = () => 1_000;

/** Verdicts as a replica hears them: once, by whoever listens at that moment. */
function replica() {
  const listening = new Map<string, (v: Verdict) => void>();
  return {
    listening,
    awaitVerdict: (source: string, id: string, signal: AbortSignal) =>
      new Promise<Verdict | undefined>((resolve) => {
        listening.set(`${source}/${id}`, resolve);
        signal.addEventListener('abort', () => {
          listening.delete(`${source}/${id}`);
          resolve(undefined);
        });
      }),
  };
}

test('a request is stored under an id of its own and answered with its verdict and runs', async () => {
  const { awaitVerdict, listening } = replica();
  const stored: Delivery[] = [];
  const accept = async (d: Delivery) => {
    stored.push(Value.Parse(Delivery, d));
    // The leader may be quicker than the acknowledgement.
    listening.get(`${d.source}/${d.id}`)?.(verdictOf({ decision: 'runs', creates: [newRun()] }));
    return { duplicate: false };
  };
  const answer = await ask(request, anna, { accept, awaitVerdict, wallMs });
  await ask(request, anna, { accept, awaitVerdict, wallMs });
  const [first, second] = stored;
  assert.deepEqual(first, { v: 1, source: 'person', id: first?.id, atMs: 1_000, by: 'anna', event: 'run', request });
  assert.notEqual(first?.id, second?.id);
  assert.equal(answer.delivery, `person/${first?.id}`);
  assert.equal(answer.verdict?.decision, 'runs');
  assert.deepEqual(answer.runs, ['1700000000000000001']);
  assert.equal(listening.size, 0);
});

test('a stored request that is not decided in time is answered without a verdict', async () => {
  const { awaitVerdict, listening } = replica();
  const answer = await ask(request, anna, { accept: async () => ({ duplicate: false }), awaitVerdict, wallMs, waitMs: 20 });
  assert.equal(answer.verdict, undefined);
  assert.deepEqual(answer.runs, []);
  assert.equal(listening.size, 0);
});

test('a request that cannot be stored waits for nothing', async () => {
  const { awaitVerdict, listening } = replica();
  const accept = async () => {
    throw new FarmError('UNAVAILABLE', { detail: 'not stored', afterS: 10 });
  };
  await assert.rejects(ask(request, anna, { accept, awaitVerdict, wallMs }), { code: 'UNAVAILABLE' });
  assert.equal(listening.size, 0);
});

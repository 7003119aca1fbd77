import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as breathe } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import type { FarmNews, RunNews } from '../../../protocol/live.ts';
import type { FarmRecord } from '../../../protocol/record.ts';
import { openRun } from '../../../protocol/run.ts';
import { asAdmin, testApi } from '../../support/api.ts';
import { newRun } from '../../support/runs.ts';

type Hear = (folded: { record: FarmRecord; seq: number; changedRuns: ReturnType<typeof openRun>[] }) => void;

/** A server whose state changes when the test says so. */
function liveApi() {
  const hearers = new Set<Hear>();
  const api = testApi({
    listen: (hear) => {
      hearers.add(hear as Hear);
      return () => hearers.delete(hear as Hear);
    },
  });
  const base = { v: 1, term: 1, atMs: 0 };
  return {
    ...api,
    hearers,
    /** Creates so many runs, each by a verdict of its own. */
    create: (n: number) => {
      for (let i = 1; i <= n; i += 1) {
        const run = openRun(newRun(undefined, { id: String(1_700_000_000_000_000_000n + BigInt(i)) }));
        api.farm.runs.set(run.id, run);
        const record = {
          ...base,
          type: 'run',
          run: run.id,
          n: 1,
          positions: { deliveries: 0, notices: 0 },
          events: [],
        } as FarmRecord;
        for (const hear of hearers) hear({ record, seq: i, changedRuns: [run] });
      }
    },
    fold: (record: Omit<FarmRecord, 'v' | 'term' | 'atMs'>) => {
      const changed = api.farm.fold({ ...base, ...record } as FarmRecord, api.farm.seq + 1);
      const changedRuns = changed.flatMap((id) => api.farm.runs.get(id) ?? []);
      for (const hear of [...hearers]) hear({ record: { ...base, ...record } as FarmRecord, seq: api.farm.seq, changedRuns });
    },
    open: async (path: string) => {
      await api.app.ready();
      const heard: unknown[] = [];
      const socket = await api.app.injectWS(
        path,
        { headers: { ...asAdmin, host: 'localhost' } },
        {
          onInit: (s: WebSocket) => s.on('message', (m) => heard.push(JSON.parse(m.toString()))),
        },
      );
      return { heard, socket };
    },
  };
}

const until = async (what: () => boolean) => {
  for (const end = performance.now() + 5_000; !what(); await breathe()) assert.ok(performance.now() < end, 'not within 5 s');
};

test('what changes within a moment is told once, each run as it stands then', async () => {
  const api = liveApi();
  const { heard, socket } = await api.open('/api/events');
  await breathe();
  api.create(3);
  api.create(3);
  await until(() => heard.length >= 5);
  const news = heard as FarmNews[];
  assert.equal(news.filter((n) => n.type === 'run').length, 3);
  assert.deepEqual(
    news.filter((n) => n.type !== 'run').map((n) => n.type),
    ['queues', 'agents'],
  );
  socket.terminate();
  await api.app.close();
});

test('when very much changes at once the page is told to ask again', async () => {
  const api = liveApi();
  const { heard, socket } = await api.open('/api/events');
  await breathe();
  api.create(600);
  await until(() => heard.length >= 1);
  assert.deepEqual((heard as FarmNews[])[0], { type: 'resync' });
  assert.ok(!(heard as FarmNews[]).some((n) => n.type === 'run'));
  socket.terminate();
  await api.app.close();
});

test('a page of a run gets the run first and then its events, of no other run', async () => {
  const api = liveApi();
  const run = openRun(newRun(undefined, { id: '1600000000000000000' }));
  api.farm.runs.set(run.id, run);
  const { heard, socket } = await api.open(`/api/runs/${run.id}/events`);
  await until(() => heard.length === 1);
  assert.deepEqual(heard[0], { type: 'run', run: JSON.parse(JSON.stringify(run)) });
  const positions = { deliveries: 0, notices: 0 };
  const events = [{ type: 'assigned' as const, step: run.at[0]?.name ?? '', attempt: 1, agent: 'a1', atMs: 5 }];
  api.create(1);
  api.fold({ type: 'run', run: run.id, n: 2, positions, events } as never);
  await until(() => heard.length === 2);
  assert.deepEqual(heard[1], { type: 'events', n: 2, events });
  socket.terminate();
  await until(() => api.hearers.size === 1);
  await api.app.close();
});

test('a run that is not there is told so, and the socket closed for good', async () => {
  const api = liveApi();
  const { heard, socket } = await api.open('/api/runs/1700000000000000009/events');
  const code = await new Promise((done) => socket.once('close', done));
  assert.equal(code, 1000);
  socket.terminate();
  assert.equal((heard[0] as RunNews).type, 'error');
  await api.app.close();
});

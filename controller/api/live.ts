import type { FastifyPluginCallback } from 'fastify';
import { type Static, Type } from 'typebox';
import { FarmError } from '../../protocol/errors.ts';
import type { FarmNews, RunNews } from '../../protocol/live.ts';
import type { FarmRecord } from '../../protocol/record.ts';
import type { Run } from '../../protocol/run.ts';
import { runSummary } from '../store/run-summary.ts';
import type { ApiDeps } from './deps.ts';
import { type Listener, listener } from './listener.ts';
import { runId } from './schemas.ts';

const Params = Type.Object({ run: runId });

/** What happens within so many milliseconds is told at once. */
const gatherMs = 250;
/** More runs than that in one message are not told one by one. */
const maxRunsAtOnce = 500;

const socketOnly = async () => {
  throw new FarmError('BAD_REQUEST', { detail: 'events come over a WebSocket; connect with one' });
};

/** What pages hear while they are open, from this replica's confirmed state. */
export const live: FastifyPluginCallback<Pick<ApiDeps, 'farm' | 'index' | 'listen'>> = (app, deps, done) => {
  const { farm, index, listen } = deps;
  const pages = new Set<Listener<FarmNews>>();
  let changed = new Map<string, Run>();
  let hints = new Set<Hint>();
  let timer: NodeJS.Timeout | undefined;

  const tell = () => {
    timer = undefined;
    const [runs, others] = [changed, hints];
    changed = new Map();
    hints = new Set();
    // An archived run has left the farm's state: then the last that was heard of it is all.
    const told: FarmNews[] =
      runs.size > maxRunsAtOnce
        ? [{ type: 'resync' }]
        : [...runs.values()].map((run) => ({ type: 'run', run: runSummary(farm().runs.get(run.id) ?? run) }));
    const texts = [...told, ...[...others].map((type): FarmNews => ({ type }))].map((news) => JSON.stringify(news));
    for (const page of pages) page.say(texts);
  };
  const stopListening = listen(({ record, changedRuns }) => {
    if (pages.size === 0) return;
    for (const run of changedRuns) changed.set(run.id, run);
    for (const hint of hintsOf(record)) hints.add(hint);
    if (changed.size + hints.size > 0) timer ??= setTimeout(tell, gatherMs);
  });
  app.addHook('preClose', async () => {
    stopListening();
    clearTimeout(timer);
  });

  app.route({
    method: 'GET',
    url: '/events',
    handler: socketOnly,
    wsHandler: (socket) => {
      const page = listener<FarmNews>(socket, { missed: () => ({ type: 'resync' }), left: () => pages.delete(page) });
      pages.add(page);
    },
  });

  app.route<{ Params: Static<typeof Params> }>({
    method: 'GET',
    url: '/runs/:run/events',
    schema: { params: Params },
    handler: socketOnly,
    wsHandler: async (socket, { params: { run: id } }) => {
      const whole = (run: Run): RunNews => ({ type: 'run', run });
      let last: Run | undefined;
      /** What comes while the index is asked. */
      const page = listener<RunNews>(socket, {
        missed: () => {
          const run = farm().runs.get(id) ?? last;
          return run && whole(run);
        },
        left: () => stop(),
      });
      const stop = listen(({ record, changedRuns }) => {
        const run = changedRuns.find((r) => r.id === id);
        if (run) last = run;
        if (record.type === 'run' && record.run === id) {
          const { n, events } = record;
          page.say([JSON.stringify({ type: 'events', n, events } satisfies RunNews)]);
        } else if (run) page.say([JSON.stringify(whole(run))]);
      });
      const found = farm().runs.get(id) ?? (await index.run(id));
      if (!found) {
        const { code, message } = new FarmError('NOT_FOUND', { what: `run ${id}` });
        page.say([JSON.stringify({ type: 'error', code, message } satisfies RunNews)]);
        return socket.close(1000);
      }
      last ??= found;
      page.say([JSON.stringify(whole(found))]);
      // Nothing will ever happen to it again.
      if (found.archived) socket.close(1000);
    },
  });
  done();
};

type Hint = Exclude<FarmNews['type'], 'run' | 'resync'>;

/** Of what a record changes the answer. */
function hintsOf(record: FarmRecord): Hint[] {
  switch (record.type) {
    case 'verdict':
      return record.verdict.changes.length > 0 ? ['deliveries', 'queues', 'agents'] : ['deliveries', 'queues'];
    case 'run':
      return ['queues', 'agents'];
    case 'agent':
      return ['agents', 'queues'];
    case 'leader':
    case 'config':
      return ['farm'];
    default:
      return [];
  }
}

import { parentPort, workerData } from 'node:worker_threads';
import { AckPolicy, DeliverPolicy, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connectFarm } from '../../controller/store/connect.ts';
import type { BareStart } from './bare.ts';

const { role, url, seed, runs } = workerData as BareStart;
const nc = await connectFarm({ url, seed, name: role });
const js = jetstream(nc);
const jsm = await jetstreamManager(nc);

/** Everything of a stream from now on. */
async function read(stream: string, hear: (m: JsMsg) => void): Promise<void> {
  const consumer = await js.consumers.get(stream, { deliver_policy: DeliverPolicy.New });
  await consumer.consume({ max_messages: 1_000, callback: hear });
}

if (role === 'leader') {
  let seq = 0;
  let ended = 0;
  const positions = { deliveries: 0, notices: 0 };
  const append = (subject: string, record: object) => {
    const expected = seq;
    seq += 1;
    return js.publish(subject, JSON.stringify({ v: 1, term: 1, atMs: Date.now(), positions, ...record }), {
      expect: { lastSequence: expected },
    });
  };
  await read('DELIVERIES', (m) => {
    const { id } = m.json<{ id: string }>();
    positions.deliveries = m.seq;
    const run = `1${id.slice(1).padStart(18, '0')}`;
    void append(`verdict.person.${id}`, { type: 'verdict', creates: [{ id: run, job: 'nothing', steps: [{ name: 'only' }] }] });
    void append(`run.${run}`, { type: 'run', events: [{ type: 'assigned', step: 'only', attempt: 1, agent: 'a1' }] }).then(() =>
      js.publish(
        `task.a1.${run}.only.1`,
        JSON.stringify({ v: 1, term: 1, agent: 'a1', run, step: 'only', attempt: 1, spec: { name: 'only', script: '' } }),
      ),
    );
  });
  await read('NOTICES', (m) => {
    positions.notices = m.seq;
    const [, , run = ''] = m.subject.split('.');
    const { type } = m.json<{ type: string }>();
    void append(`run.${run}`, { type: 'run', events: [{ type: 'attempt', step: 'only', attempt: 1, event: type }] }).then(() => {
      if (type === 'end') ended += 1;
      if (ended === runs) parentPort?.postMessage('done');
    });
  });
} else {
  await jsm.consumers.add('TASKS', { durable_name: 'a1', ack_policy: AckPolicy.None, filter_subject: 'task.a1.>' });
  const inbox = await js.consumers.get('TASKS', 'a1');
  const say = (run: string, n: number, type: string) =>
    js.publish(`notice.a1.${run}.only.1.${n}`, JSON.stringify({ v: 1, type, atMs: Date.now() }), {
      expect: { lastSubjectSequence: 0 },
    });
  await inbox.consume({
    max_messages: 64,
    callback: (m) => {
      const { run } = m.json<{ run: string }>();
      void say(run, 1, 'start').then(() => say(run, 2, 'end'));
    },
  });
}
parentPort?.postMessage('ready');
parentPort?.once('message', () => void nc.close().then(() => process.exit()));

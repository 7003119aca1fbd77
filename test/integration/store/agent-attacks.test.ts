/*
 * Invariant 7: an agent reaches only its own subjects and the tasks it holds. Agent `a` has turned hostile and speaks to the server with
 * its own, valid credentials. After each attack the whole farm is looked at (`isUnharmed`): every stream and consumer is there with what
 * it held, no notice and no beat stands under another's name, and `b` gets its task and the controller's answer.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { createUser } from '@nats-io/nkeys';
import {
  connect,
  headers,
  type Msg,
  type NatsConnection,
  nkeyAuthenticator,
  PermissionViolationError,
} from '@nats-io/transport-node';
import { ensureInbox } from '../../../controller/store/inboxes.ts';
import { publishTask } from '../../../controller/store/tasks.ts';
import { natsErrors } from '../../../protocol/streams.ts';
import { startTestNats, type TestNats } from '../../support/nats.ts';
import { aTask } from '../../support/tasks.ts';

/** A farm with two agents and something in every stream. */
async function farm() {
  const nats = await startTestNats();
  const controller = await nats.connect();
  const [js, jsm] = [jetstream(controller), await jetstreamManager(controller)];
  const beats: { subject: string; body: string }[] = [];
  controller.subscribe('beat.*', {
    callback: (_, m) => {
      beats.push({ subject: m.subject, body: m.string() });
      m.respond('from the controller');
    },
  });
  for (const subject of ['delivery.github.1', 'run.1', 'leader', 'log.1.build.1']) await js.publish(subject, 'precious');
  for (const agent of ['a', 'b']) await ensureInbox(jsm, agent);
  const [a, b] = [await nats.connectAgent('a'), await nats.connectAgent('b')];
  const refused: string[] = [];
  void (async () => {
    for await (const s of a.status())
      if (s.type === 'error' && s.error instanceof PermissionViolationError)
        refused.push(`${s.error.operation} ${s.error.subject}`);
  })();
  let attempt = 0;
  const newTask = async (agent: string) => {
    const task = aTask({ agent, attempt: ++attempt });
    await publishTask(js, jsm, task, { again: false });
    return task;
  };
  await newTask('a');
  return { nats, controller, js, jsm, beats, a, b, refused, newTask, before: await contents(jsm) };
}
type Farm = Awaited<ReturnType<typeof farm>>;

/** What the streams hold that agents may add nothing to, and who may pull. */
async function contents(jsm: JetStreamManager) {
  const held: Record<string, unknown> = {};
  for (const name of ['DELIVERIES', 'RUNS', 'LOGS']) {
    const { state, config } = await jsm.streams.info(name);
    held[name] = { messages: state.messages, first: state.first_seq, last: state.last_seq, config };
  }
  held.consumers = (await jsm.consumers.list('TASKS').next()).map((c) => c.name).sort();
  const { state } = await jsm.streams.info('TASKS', { subjects_filter: 'task.a.>' });
  held['tasks of a'] = state.subjects;
  return held;
}

let turn = 0;
async function isUnharmed(f: Farm): Promise<void> {
  assert.deepEqual(await contents(f.jsm), f.before);
  const notices = (await f.jsm.streams.info('NOTICES', { subjects_filter: '>' })).state.subjects ?? {};
  for (const subject of Object.keys(notices)) assert.match(subject, /^notice\.a\./, 'a notice under another name');

  const task = await f.newTask('b');
  const got = await consumer(f.b, 'b').next({ expires: 1_000 });
  assert.deepEqual(got?.json(), task, 'b gets its task');
  const said = `b itself ${++turn}`;
  assert.equal((await f.b.request('beat.b', said, { timeout: 1_000 })).string(), 'from the controller');
  for (const { subject, body } of f.beats.splice(0))
    assert.ok(subject === 'beat.a' || (subject === 'beat.b' && body === said), `a beat of ${subject}: ${body}`);
}

const consumer = (nc: NatsConnection, agent: string) =>
  jetstream(nc).consumers.getConsumerFromInfo({ stream_name: 'TASKS', name: agent, config: {} } as never);

/** What the server refused to `a` while `act` went on and until it had answered. */
async function refusals(f: Farm, act: () => unknown): Promise<string[]> {
  f.refused.splice(0);
  await act();
  await f.a.flush();
  // The server acts on what it let through in its own time.
  await sleep(20);
  return f.refused.splice(0);
}

const api = '$JS.API';
const ownPull = `${api}.CONSUMER.MSG.NEXT.TASKS.a`;
const pullNow = JSON.stringify({ batch: 1, no_wait: true });

describe('an agent that turned hostile', () => {
  let f: Farm;
  let nats: TestNats;
  before(async () => {
    f = await farm();
    nats = f.nats;
  });
  after(() => nats.stop());

  const forbidden = [
    ...['beat.b', 'beat.a.x', 'notice.b.1.build.1.1', 'heartbeat', 'leader', 'farm', 'run.1', 'verdict.github.1', 'agent.b'],
    ...['delivery.person.1', 'task.b.1.build.1', 'task.a.1.build.9', 'log.1.build.1', '_INBOX.b.x', '_INBOX.a.x', '_R_.x', 'x'],
    ...[
      `${api}.INFO`,
      `${api}.STREAM.NAMES`,
      `${api}.STREAM.CREATE.X`,
      `${api}.STREAM.UPDATE.RUNS`,
      `${api}.STREAM.SNAPSHOT.RUNS`,
    ],
    ...['STREAM.INFO', 'STREAM.DELETE', 'STREAM.PURGE', 'STREAM.MSG.DELETE', 'STREAM.MSG.GET', 'DIRECT.GET'].flatMap((call) =>
      ['RUNS', 'TASKS', 'NOTICES'].map((stream) => `${api}.${call}.${stream}`),
    ),
    ...['CREATE.TASKS.x', 'DURABLE.CREATE.TASKS.x', 'DELETE.TASKS.b', 'INFO.TASKS.b', 'LIST.TASKS'].map(
      (c) => `${api}.CONSUMER.${c}`,
    ),
    ...['TASKS.b', 'RUNS.a', 'NOTICES.a', 'TASKS.a.b'].map((c) => `${api}.CONSUMER.MSG.NEXT.${c}`),
    ...['$JS.ACK.TASKS.b.1.1.1.1.0', '$JS.ACK.TASKS.a.1.1.1.1.0', '$JS.FC.TASKS.b.x'],
    ...['$SYS.REQ.SERVER.PING', '$SYS.REQ.CLAIMS.UPDATE', '$SYS.ACCOUNT.FARM.CONNECT'],
  ];
  test('may not publish under any subject but its own', async () => {
    for (const subject of forbidden) {
      const refused = await refusals(f, () => f.a.publish(subject, '{"seq":1}', { reply: '_INBOX.a.answer' }));
      assert.deepEqual(refused, [`publish ${subject}`]);
    }
    await isUnharmed(f);
  });

  const closed = [
    '>',
    '*',
    '*.*',
    '_INBOX.b.>',
    '_INBOX.>',
    '_INBOX.*.*',
    'beat.*',
    'beat.a',
    'beat.b',
    'notice.>',
    'notice.a.>',
  ];
  closed.push(
    'task.>',
    'task.a.>',
    'run.>',
    'delivery.>',
    'log.>',
    'heartbeat',
    '_R_.>',
    '$JS.>',
    '$JS.EVENT.>',
    '$SYS.>',
    '$SRV.>',
  );
  test('may not listen to anything but the answers to its own requests', async () => {
    const overheard: string[] = [];
    const callback = (error: Error | null, m: Msg) => void (error ? undefined : overheard.push(m.subject));
    for (const subject of closed) {
      const refused = await refusals(f, () => void f.a.subscribe(subject, { callback }));
      assert.deepEqual(refused, [`subscription ${subject}`]);
    }
    const inQueue = await refusals(f, () => void f.a.subscribe('_INBOX.b.>', { callback, queue: 'q' }));
    assert.deepEqual(inQueue, ['subscription _INBOX.b.>']);
    f.controller.publish('heartbeat', '{}');
    await isUnharmed(f);
    await f.a.flush();
    assert.deepEqual(overheard, []);
  });

  const aims = [
    ...['STREAM.DELETE.RUNS', 'STREAM.PURGE.RUNS', 'STREAM.DELETE.TASKS', 'CONSUMER.DELETE.TASKS.b'].map((c) => `${api}.${c}`),
    ...[
      'notice.b.1.build.1.1',
      'beat.b',
      'run.1',
      'leader',
      'task.b.1.build.1',
      'log.1.build.1',
      'delivery.person.1',
      '_INBOX.b.x',
    ],
    ...[`${api}.CONSUMER.MSG.NEXT.TASKS.b`, 'heartbeat'],
  ];
  const n = { next: 0 };
  const levers: Record<string, (reply: string) => void> = {
    'the answer to its pull': (reply) => f.a.publish(ownPull, pullNow, { reply }),
    'the refusal of its pull': (reply) => f.a.publish(ownPull, '{"batch":-1,"expires":-1}', { reply }),
    'the acknowledgement of its notice': (reply) => f.a.publish(`notice.a.1.build.1.${++n.next}`, '{}', { reply }),
    'the refusal of its notice': (reply) => f.a.publish('notice.a.1.build.1.1', '{}', { reply }),
    "the controller's answer to its beat": (reply) => f.a.publish('beat.a', '{}', { reply }),
  };
  for (const [lever, pull] of Object.entries(levers))
    test(`cannot aim ${lever} at anything of the farm`, async () => {
      for (const aim of aims) {
        const refused = await refusals(f, () => pull(aim));
        assert.deepEqual(refused, [], `${aim}: let through, so the rest of this test means something`);
      }
      const asAck = await refusals(f, () => pull('$JS.ACK.TASKS.b.1.1.1.1.0'));
      assert.equal(asAck.length, 1, 'the server itself refuses an ack subject as a reply');
      await isUnharmed(f);
    });

  test('cannot ack, return or end anything, not even its own task', async () => {
    await f.newTask('a');
    const task = await consumer(f.a, 'a').next({ expires: 1_000 });
    assert.ok(task);
    const before = (await f.jsm.streams.info('TASKS')).state.messages;
    for (const word of ['+ACK', '-NAK', '+TERM', '+NXT 100', '+WPI']) {
      const reply = (task as unknown as { msg: Msg }).msg.reply ?? '';
      const refused = await refusals(f, () => f.a.publish(reply || '$JS.ACK.TASKS.a.1.1.1.1.0', word));
      assert.equal(refused.length, 1, word);
    }
    assert.equal((await f.jsm.streams.info('TASKS')).state.messages, before);
    f.before = await contents(f.jsm);
    await isUnharmed(f);
  });

  test('cannot roll up the notices of others', async () => {
    await jetstream(f.b).publish('notice.b.2.build.1.1', 'precious');
    for (const scope of ['all', 'sub']) {
      const rollUp = headers();
      rollUp.set('Nats-Rollup', scope);
      const sent = jetstream(f.a).publish(`notice.a.2.build.1.${scope}`, '{}', { headers: rollUp });
      await assert.rejects(sent, /rollup not permitted/);
    }
    assert.equal((await f.jsm.streams.getMessage('NOTICES', { last_by_subj: 'notice.b.2.build.1.1' }))?.string(), 'precious');
    await f.jsm.streams.purge('NOTICES', { filter: 'notice.b.>' });
    await isUnharmed(f);
  });

  test('cannot shadow a notice of another by taking a message id first: nobody else uses ids, and its own is forgotten at once', async () => {
    const [squatter, mine] = ['notice.a.3.build.1.1', 'notice.b.3.build.1.1'];
    await jetstream(f.a).publish(squatter, '{}', { msgID: mine });
    const ack = await jetstream(f.b).publish(mine, 'precious', { expect: { lastSubjectSequence: 0 } });
    assert.equal(ack.duplicate, false);
    await sleep(200);
    const late = await jetstream(f.b).publish('notice.b.3.build.1.2', 'precious', { msgID: mine });
    assert.equal(late.duplicate, false, 'the window is over');
    await f.jsm.streams.purge('NOTICES', { filter: 'notice.b.>' });
    await isUnharmed(f);
  });

  test('cannot change what it has said, nor say more at once than a notice holds', async () => {
    await jetstream(f.a).publish('notice.a.4.build.1.1', 'first');
    await assert.rejects(
      jetstream(f.a).publish('notice.a.4.build.1.1', 'second'),
      (e: { code?: number }) => e.code === natsErrors.streamFull,
    );
    await assert.rejects(jetstream(f.a).publish('notice.a.4.build.1.2', Buffer.alloc(64 * 1024 + 1)), /size exceeds/);
    assert.equal((await f.jsm.streams.getMessage('NOTICES', { last_by_subj: 'notice.a.4.build.1.1' }))?.string(), 'first');
    await isUnharmed(f);
  });

  test('swallows with greedy pulls nothing but its own inbox, and holds no more of them than it may', async () => {
    const answers: Msg[] = [];
    const hungry = f.a.subscribe('_INBOX.a.greedy.*', { callback: (_, m) => void answers.push(m) });
    for (let i = 0; i < 100; i++)
      f.a.publish(ownPull, JSON.stringify({ batch: 64, expires: 30_000_000_000 }), { reply: `_INBOX.a.greedy.${i}` });
    f.a.publish(ownPull, JSON.stringify({ batch: 1_000_000, expires: 1_000_000_000 }), { reply: '_INBOX.a.greedy.batch' });
    f.a.publish(ownPull, JSON.stringify({ batch: 1, expires: 3_600_000_000_000 }), { reply: '_INBOX.a.greedy.expires' });
    await f.a.flush();
    await isUnharmed(f);
    assert.ok((await f.jsm.consumers.info('TASKS', 'a')).num_waiting <= 16);
    await f.a.flush();
    for (const m of answers) assert.ok(m.headers?.code, `got a message: ${m.subject}`);
    const refused = (end: string) => answers.some((m) => m.subject.endsWith(end) && m.headers?.code === 409);
    assert.ok(refused('.batch') && refused('.expires'));
    hungry.unsubscribe();
  });
});

test('only who has the seed of a known key gets in, and gets no more than that key allows', async () => {
  await using nats = await startTestNats({ streams: false });
  const known = createUser();
  await nats.addAgents([{ id: 'a', publicKey: known.getPublicKey() }]);
  const attempt = (options: object) => connect({ servers: nats.url, reconnect: false, timeout: 2_000, ...options });
  const stolen = { nkey: known.getPublicKey(), sig: Buffer.alloc(64).toString('base64') };
  await assert.rejects(attempt({}), 'anonymous');
  await assert.rejects(attempt({ user: 'a', pass: 'a' }), 'a password');
  await assert.rejects(attempt({ token: 'a' }), 'a token');
  await assert.rejects(attempt({ authenticator: nkeyAuthenticator(createUser().getSeed()) }), 'an unknown key');
  await assert.rejects(attempt({ authenticator: () => stolen }), 'a public key without its seed');
  const nc = await attempt({ authenticator: nkeyAuthenticator(known.getSeed()) });
  await assert.rejects(jetstreamManager(nc, { timeout: 500 }), 'no JetStream for agents');
  await nc.close();
});

test('the look at the farm sees what an attack would have done', async () => {
  const harms: Record<string, (f: Farm) => unknown> = {
    'a reply that purges': (f) =>
      f.controller.publish(`${api}.CONSUMER.MSG.NEXT.TASKS.b`, pullNow, { reply: `${api}.STREAM.PURGE.RUNS` }),
    'a forged notice': (f) => f.js.publish('notice.b.1.build.1.1', '{}'),
    'a forged beat': (f) => f.controller.publish('beat.b', 'forged'),
    'a lost inbox': (f) => f.jsm.consumers.delete('TASKS', 'b'),
    'a stolen task': (f) => f.jsm.streams.purge('TASKS', { filter: 'task.a.>' }),
  };
  for (const [harm, done] of Object.entries(harms)) {
    const f = await farm();
    await isUnharmed(f);
    await done(f);
    await f.controller.flush();
    await sleep(20);
    await assert.rejects(isUnharmed(f), harm);
    await f.nats.stop();
  }
});

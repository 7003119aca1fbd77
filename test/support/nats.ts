import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createUser } from '@nats-io/nkeys';
import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { connectFarm } from '../../controller/store/connect.ts';
import { launchNats, type ServerProcess } from '../../controller/store/launch-nats.ts';
import { silent } from '../../controller/store/log.ts';
import type { AgentLogin } from '../../controller/store/nats-config.ts';
import { type NatsFilesOptions, updateAgentsConf, writeNatsFiles } from '../../controller/store/nats-files.ts';
import { ensureStreams } from '../../controller/store/streams.ts';

export type TestNats = AsyncDisposable & {
  url: string;
  monitorUrl: string;
  /** The server's directory: configuration, keys, store. */
  dir: string;
  controllerSeed: string;
  curveSeed: string;
  /** A controller's connection. The test's `stop` closes what is still open. */
  connect: (name?: string) => Promise<NatsConnection>;
  /** Besides those added before. They can log in when it resolves. */
  addAgents: (list: AgentLogin[]) => Promise<void>;
  /** Those can log in no more, and are thrown out. */
  removeAgents: (ids: string[]) => Promise<void>;
  /** Adds an agent with a key of its own and logs it in, with settings as an agent has them. */
  connectAgent: (id: string) => Promise<NatsConnection>;
  /** SIGKILL; it stays down. */
  crash: () => Promise<void>;
  /** Starts it again (after killing it, if it runs): same port, same store. */
  restart: () => Promise<void>;
  stop: () => Promise<void>;
};

export type TestNatsOptions = {
  /** Default true: the farm's streams are there. */
  streams?: boolean;
  files?: NatsFilesOptions;
};

/** A real nats-server with the farm's configuration, in a directory of its own under the system's temporary one. */
export async function startTestNats({ streams = true, files: options = {} }: TestNatsOptions = {}): Promise<TestNats> {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-nats-'));
  const binary = 'nats-server';
  const begin = async () => {
    const files = await writeNatsFiles(dir, options);
    return { files, first: await launchNats({ binary, files, log: silent }) };
  };
  const { files, first } = await begin().catch(async (error) => {
    await rm(dir, { recursive: true, force: true });
    throw error;
  });
  let server: ServerProcess | undefined = first;
  const { url, monitorUrl } = first;
  const { port } = new URL(url);
  const open = new Set<NatsConnection>();
  const agents = new Map<string, AgentLogin>();

  const keep = (nc: NatsConnection) => {
    open.add(nc);
    void nc.closed().then(() => open.delete(nc));
    return nc;
  };
  const end = async () => {
    server?.kill('SIGKILL');
    await server?.ended;
    server = undefined;
  };
  const writeAgents = async () => void (await updateAgentsConf(dir, [...agents.values()]));
  const addAgents = (list: AgentLogin[]) => {
    for (const agent of list) agents.set(agent.id, agent);
    return writeAgents();
  };
  const stop = async () => {
    await Promise.all([...open].map((nc) => nc.close()));
    await end();
    await rm(dir, { recursive: true, force: true });
  };

  const nats: TestNats = {
    url,
    monitorUrl,
    dir,
    controllerSeed: files.controllerSeed,
    curveSeed: files.curveSeed,
    connect: async (name = 'test') => keep(await connectFarm({ url, seed: files.controllerSeed, name })),
    addAgents,
    removeAgents: (ids) => {
      for (const id of ids) agents.delete(id);
      return writeAgents();
    },
    connectAgent: async (id) => {
      const key = createUser();
      await addAgents([{ id, publicKey: key.getPublicKey() }]);
      return keep(
        await connect({
          servers: url,
          authenticator: nkeyAuthenticator(key.getSeed()),
          inboxPrefix: `_INBOX.${id}`,
          name: id,
          maxReconnectAttempts: -1,
          reconnectTimeWait: 100,
          reconnectJitter: 50,
          ignoreAuthErrorAbort: true,
        }),
      );
    },
    crash: end,
    restart: async () => {
      await end();
      await writeNatsFiles(dir, { ...options, port: Number(port), monitorPort: Number(new URL(monitorUrl).port) });
      server = await launchNats({ binary, files, log: silent });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
  try {
    if (streams) {
      const nc = await nats.connect();
      await ensureStreams(nc, { replicas: 1, maxBytes: smallStreams });
      await nc.close();
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return nats;
}

const mib = 1024 * 1024;
/** Small, so that many test servers fit on one disk. */
const smallStreams = { DELIVERIES: 64 * mib, RUNS: 64 * mib, TASKS: 32 * mib, NOTICES: 32 * mib, LOGS: 256 * mib };

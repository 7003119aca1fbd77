import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { type AgentChild, startAgentChild } from './agent-child.ts';
import type { UpOptions } from './cli/server.ts';
import { controllerSettings, environment, natsLogin } from './config.ts';
import { type Controller, startController } from './controller.ts';
import { isLoopback } from './serve.ts';
import { lockDir } from './store/dir-lock.ts';
import { findNatsServer } from './store/find-nats-server.ts';
import { keys } from './store/keys.ts';
import { natsInDocker } from './store/nats-in-docker.ts';
import { type NatsServer, startNatsServer } from './store/nats-server.ts';

export type Up = { controller: Controller; adminTokenFile: string; stop: () => Promise<void> };

const joinTokenMs = 10 * 60_000;

/**
 * A whole farm in one process tree: nats-server, this controller, and agents as children, everything in one data directory. Children that die are
 * started again; they are stopped in reverse order.
 */
export async function startUp(o: UpOptions, deps: { log: Logger; agentCommand: readonly string[] }): Promise<Up> {
  const { log } = deps;
  const data = resolve(o.data);
  await mkdir(data, { recursive: true, mode: 0o711 });
  const lock = await lockDir(data);
  let server: NatsServer | undefined;
  let controller: Controller | undefined;
  const agents: AgentChild[] = [];
  const stop = async () => {
    await Promise.all(agents.map((a) => a.stop()));
    await controller?.stop();
    await server?.stop();
    await lock.release();
  };
  try {
    const dir = resolve(o.natsDir ?? join(data, 'nats'));
    if (o.nats === undefined) {
      const binary = await findNatsServer({
        searchPath: environment.PATH ?? '',
        platform: process.platform,
        // Elsewhere an engine runs in a machine of its own, whose network is not this one's.
        ...(process.platform === 'linux' ? { inDocker: () => natsInDocker({ dir, log }) } : {}),
      });
      server = await startNatsServer({
        dir,
        binary,
        log,
        ...(o.natsListen && { host: o.natsListen.host, port: o.natsListen.port || -1 }),
      });
      log.info({ url: server.url, version: binary.version }, 'nats-server is up');
    }
    const settings = {
      ...(await controllerSettings(o, await natsLogin(o.nats ?? server?.url ?? '', dir))),
      natsIsLocal: o.nats === undefined && isLoopback(o.natsListen?.host ?? '127.0.0.1') && o.agentsNats === undefined,
    };
    controller = await startController(settings, { log, now: () => performance.now(), wallMs: () => Date.now() });
    for (let i = 1; i <= o.agents; i += 1) {
      const name = `local-${i}`;
      const home = join(data, 'agents', name);
      await mkdir(home, { recursive: true, mode: 0o711 });
      const token = () =>
        keys(settings.farmKey).joinToken({ queues: ['default'], trust: 'trusted', expiresAtMs: Date.now() + joinTokenMs });
      const { executor, slots, logLevel } = o;
      const args = [
        '--url',
        controller.url,
        '--name',
        name,
        '--executor',
        executor,
        '--slots',
        String(slots),
        '--log-level',
        logLevel,
        ...(o.policy === undefined ? [] : ['--policy', resolve(o.policy)]),
        ...(o.defaultImage === undefined ? [] : ['--default-image', o.defaultImage]),
        ...(o.allowFileClone ? ['--allow-file-clone'] : []),
      ];
      agents.push(startAgentChild({ home, token, args, command: deps.agentCommand, log: log.child({ agent: name }) }));
    }
    return { controller, adminTokenFile: join(data, 'admin.token'), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

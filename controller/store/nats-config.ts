import { isToken } from '../../protocol/token.ts';

/** What an agent is to the server: it logs in with the key, and may speak under the id only. */
export type AgentLogin = { id: string; publicKey: string };

export type NatsSettings = {
  serverName: string;
  /** Where agents and controllers connect. Port -1: the server chooses one and writes it into `portsDir`. */
  listen: { host: string; port: number };
  /** Monitoring (`/healthz`, `/varz`), on loopback only; -1: as above. */
  monitorPort: number;
  storeDir: string;
  pidFile: string;
  portsDir: string;
  /** Public nkeys. The operator's is the only user of the system account. */
  controllerKey: string;
  operatorKey: string;
  /**
   * Bytes that all streams together may reserve. Must never become less than they have: the server then leaves streams out at its start
   * and still calls itself healthy (2.9.10), which is also why it is not left to the server, which takes a part of what is free.
   */
  maxFileStoreBytes: number;
  /** Nothing acknowledged is lost when the power fails; slower. Servers before 2.10 do not start with it. */
  syncAlways?: boolean;
};

/** Stands beside the configuration, which includes it, and changes while the server runs. */
export const agentsFile = 'agents.conf';
/** Bytes, headers included; protocol/streams.ts counts on it. */
export const maxPayloadBytes = 1024 * 1024;

/**
 * The server's configuration. Agents are in an account without JetStream: what they may reach of the farm's is imported, so a reply
 * subject that an agent makes up means nothing where the farm's own answers go.
 * @throws RangeError when a value cannot stand in the file
 */
export const natsConfig = (s: NatsSettings): string => `# Written by thresh at every start; changes made here are lost.
server_name: ${quoted(s.serverName)}
listen: ${quoted(`${s.listen.host}:${s.listen.port}`)}
http: ${quoted(`127.0.0.1:${s.monitorPort}`)}
pid_file: ${quoted(s.pidFile)}
ports_file_dir: ${quoted(s.portsDir)}
max_payload: ${maxPayloadBytes}
jetstream {
  store_dir: ${quoted(s.storeDir)}
  max_file_store: ${Math.floor(s.maxFileStoreBytes)}
${s.syncAlways ? '  sync_interval: always\n' : ''}}
accounts {
  FARM {
    jetstream: { max_file: ${Math.floor(s.maxFileStoreBytes)} }
    users: [ { nkey: ${nkey(s.controllerKey)} } ]
    exports: [
      { service: "$JS.API.CONSUMER.MSG.NEXT.TASKS.*", response: stream, accounts: [AGENTS] }
      { service: "beat.*", accounts: [AGENTS] }
      { service: "notice.>", accounts: [AGENTS] }
    ]
  }
  AGENTS {
    imports: [
      { service: { account: FARM, subject: "$JS.API.CONSUMER.MSG.NEXT.TASKS.*" } }
      { service: { account: FARM, subject: "beat.*" } }
      { service: { account: FARM, subject: "notice.>" } }
    ]
    include ${quoted(agentsFile)}
  }
  SYS { users: [ { nkey: ${nkey(s.operatorKey)} } ] }
}
system_account: SYS
`;

/**
 * The users of the agents' account: each pulls from its own inbox, beats and sends notices under its own id, and nothing else.
 * The same agents give the same text, in whatever order they come.
 */
export function agentsConf(agents: readonly AgentLogin[]): string {
  const lines = agents.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)).map((a) => `  ${agentUser(a)}\n`);
  return `# Written by thresh whenever agents join or leave; changes made here are lost.\nusers: [\n${lines.join('')}]\n`;
}

function agentUser({ id, publicKey }: AgentLogin): string {
  if (!isToken(id)) throw new RangeError(`'${id}' cannot be an agent's id`);
  const publish = [`$JS.API.CONSUMER.MSG.NEXT.TASKS.${id}`, `beat.${id}`, `notice.${id}.>`].map(quoted).join(', ');
  return `{ nkey: ${nkey(publicKey)}, permissions: { publish: { allow: [${publish}] }, subscribe: { allow: [${quoted(`_INBOX.${id}.>`)}] } } }`;
}

function nkey(publicKey: string): string {
  if (!/^U[A-Z2-7]{55}$/.test(publicKey)) throw new RangeError(`'${publicKey}' is not the public nkey of a user`);
  return publicKey;
}

/** A string of the server's configuration language, in which nothing inside can end it or stand for a variable. */
function quoted(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new RangeError(`${JSON.stringify(text)} cannot stand in the configuration of nats-server`);
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { FarmError, messageOf } from '../../protocol/errors.ts';
import { type Log, silent } from './log.ts';

export type FarmLogin = {
  /** `nats://host:port`, several separated by commas. */
  url: string;
  /** The controller's nkey seed. A secret. */
  seed: string;
  /** Shown in the server's list of connections. */
  name: string;
  log?: Log;
  /** Milliseconds for the first connection. */
  timeoutMs?: number;
};

/**
 * A controller's connection. It outlives every outage of the server; what is published meanwhile is dropped by the client, so whoever
 * writes keeps a queue of its own and sends again after `reconnect`.
 * @throws FarmError NATS_UNREACHABLE when there is no server, or it does not know the key
 */
export async function connectFarm({ url, seed, name, log = silent, timeoutMs = 5_000 }: FarmLogin): Promise<NatsConnection> {
  try {
    const nc = await connect({
      servers: url.split(',').map((s) => s.trim()),
      authenticator: nkeyAuthenticator(Buffer.from(seed)),
      name,
      timeout: timeoutMs,
      ...lastingConnection,
    });
    void tell(nc, log);
    return nc;
  } catch (error) {
    throw new FarmError('NATS_UNREACHABLE', { url, detail: messageOf(error) || 'no answer' }, { cause: error });
  }
}

/**
 * Back within a second of the server; a server that froze is given up after 10 to 15 s. A refused login is tried again for ever: users
 * files are rewritten while we run.
 */
const lastingConnection = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 500,
  reconnectJitter: 500,
  reconnectJitterTLS: 500,
  pingInterval: 5_000,
  maxPingOut: 2,
  // The client else makes a stack trace for each request, which costs more than the request.
  noAsyncTraces: true,
  ignoreAuthErrorAbort: true,
};

async function tell(nc: NatsConnection, log: Log): Promise<void> {
  for await (const s of nc.status()) {
    if (s.type === 'disconnect') log.warn({ server: s.server }, 'NATS is away');
    else if (s.type === 'reconnect') log.info({ server: s.server }, 'NATS is back');
    else if (s.type === 'error') log.warn({ detail: messageOf(s.error) }, 'NATS refused something');
    else if (s.type === 'staleConnection') log.warn({}, 'NATS does not answer; connecting again');
  }
}

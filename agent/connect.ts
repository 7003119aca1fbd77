import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';

const calmly = { timeout: 5_000, reconnectTimeWait: 500, reconnectJitter: 500, pingInterval: 5_000 };
/** An agent that was cut off must hear within two seconds of being back that an attempt is not its own any more. */
const quickly = { timeout: 1_500, reconnectTimeWait: 100, reconnectJitter: 100, pingInterval: 2_000 };

/**
 * An agent's connection. Tries until it is let in (the controller adds the agent's key to the server while we wait) or `signal` aborts; then it
 * outlives every outage.
 */
export async function connectAgent(
  login: { url: string; seed: string; agent: string; name: string; quick?: boolean; refused?: (detail: string) => void },
  signal: AbortSignal,
): Promise<NatsConnection> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await connect({
        servers: login.url.split(','),
        authenticator: nkeyAuthenticator(new TextEncoder().encode(login.seed)),
        inboxPrefix: `_INBOX.${login.agent}`,
        name: login.name,
        maxReconnectAttempts: -1,
        ...(login.quick ? quickly : calmly),
        maxPingOut: 2,
        noAsyncTraces: true,
        ignoreAuthErrorAbort: true,
      });
    } catch (error) {
      login.refused?.(error instanceof Error ? error.message : String(error));
      await new Promise<void>((resolve) => {
        const end = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', end);
          resolve();
        };
        const timer = setTimeout(end, 250);
        signal.addEventListener('abort', end);
      });
    }
  }
}

/** @returns what resolves when the connection has come back the next time */
export function reconnects(nc: NatsConnection): () => Promise<void> {
  let next = Promise.withResolvers<void>();
  void (async () => {
    for await (const { type } of nc.status()) {
      if (type !== 'reconnect') continue;
      next.resolve();
      next = Promise.withResolvers();
    }
  })();
  return () => next.promise;
}

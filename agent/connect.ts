import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';

/**
 * An agent's connection. Tries until it is let in (the controller adds the agent's key to the server while we wait) or `signal` aborts; then it
 * outlives every outage.
 */
export async function connectAgent(
  login: { url: string; seed: string; agent: string; name: string; refused?: (detail: string) => void },
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
        timeout: 5_000,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 500,
        reconnectJitter: 500,
        pingInterval: 5_000,
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

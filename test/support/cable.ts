import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A line to a TCP server that can be cut and mended. */
export type Cable = AsyncDisposable & { url: string; cut: () => void; mend: () => void };

/** @param url of the server at its other end */
export async function cableTo(url: string): Promise<Cable> {
  const far = new URL(url);
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return near.destroy();
    const other = connect(Number(far.port), far.hostname);
    for (const [a, b] of [
      [near, other],
      [other, near],
    ] as const) {
      sockets.add(a);
      a.pipe(b);
      a.on('error', () => {});
      a.once('close', () => {
        sockets.delete(a);
        b.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `${far.protocol}//127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    mend: () => {
      isCut = false;
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}

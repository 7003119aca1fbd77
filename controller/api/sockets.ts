import type { FastifyInstance } from 'fastify';

/** Most bytes of one message that anybody sends: a log chunk of 64 KiB with its head is the biggest. */
export const maxSocketMessageBytes = 256 * 1024;
/** How long a peer may take to answer our goodbye, milliseconds. */
const goodbyeMs = 2_000;

/** Says goodbye to all: 1001 tells agents and viewers to come back, here or elsewhere. Done when all have gone. */
export async function closeSockets(this: FastifyInstance): Promise<void> {
  const gone = [...this.websocketServer.clients].map(
    (socket) =>
      new Promise<void>((resolve) => {
        const timer = setTimeout(() => socket.terminate(), goodbyeMs);
        socket.once('close', () => {
          clearTimeout(timer);
          resolve();
        });
        socket.close(1001, 'this controller is stopping');
      }),
  );
  this.websocketServer.close();
  await Promise.all(gone);
}

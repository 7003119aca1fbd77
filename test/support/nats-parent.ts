/*
 * A controller's process that only runs a nats-server, to be killed by a test: `node nats-parent.ts DIR BINARY LEASH`.
 * Writes {"pid","url"} when the server serves.
 */
import { silent } from '../../controller/store/log.ts';
import { startNatsServer } from '../../controller/store/nats-server.ts';

const [dir = '', binary = '', leash = ''] = process.argv.slice(2);
if (leash !== 'kernel' && leash !== 'watcher' && leash !== 'none') throw new Error(`unknown leash '${leash}'`);
const server = await startNatsServer({ dir, binary: { path: binary, version: '2.9.10' }, leash, log: silent });
console.log(JSON.stringify({ pid: server.pid(), url: server.url }));

/*
 * A controller as a process of its own that a test can kill, stop and continue. The first line on its standard input is a
 * `ControllerStart`, each further line a command; it answers with lines of JSON on standard output, and ends with its parent.
 */
import { createInterface } from 'node:readline';
import pino from 'pino';
import { type ControllerSettings, startController } from '../../controller/controller.ts';
import type { Probe } from '../../controller/schedule/lead.ts';
import { messageOf } from '../../protocol/errors.ts';

/** The process sends itself a signal (default SIGKILL) the `nth` time that it comes to this point. */
export type ProbeAt = {
  point: Probe | 'delivery-stored' | 'artifact-half-received';
  nth: number;
  signal?: 'SIGKILL' | 'SIGSTOP';
};

export type ControllerStart = {
  settings: Omit<ControllerSettings, 'farmKey' | 'webhookSecrets'> & { /** Base64. */ farmKey: string; webhookSecrets: string[] };
  logLevel: string;
  probe?: ProbeAt;
};

export type ControllerCommand = { id: number; do: 'checkpoint' | 'reload-jobs' | 'leads' };

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const { settings, logLevel, probe: at }: ControllerStart = JSON.parse((await lines.next()).value ?? 'null');
let met = 0;
const probe = (point: ProbeAt['point']) => {
  if (point !== at?.point) return;
  met += 1;
  if (met === at.nth) process.kill(process.pid, at.signal ?? 'SIGKILL');
};
const controller = await startController(
  {
    ...settings,
    farmKey: Buffer.from(settings.farmKey, 'base64'),
    webhookSecrets: () => settings.webhookSecrets,
  },
  {
    log: pino({ level: logLevel, base: { controller: settings.id } }, pino.destination({ dest: 2, sync: true })),
    now: () => performance.now(),
    wallMs: () => Date.now(),
    probe,
  },
);
say({ url: controller.url });

const commands: Record<ControllerCommand['do'], () => Promise<unknown>> = {
  checkpoint: () => controller.checkpoint(),
  'reload-jobs': () => controller.reloadJobs(),
  leads: async () => controller.leads(),
};
for (let line = await lines.next(); !line.done; line = await lines.next()) {
  const command: ControllerCommand = JSON.parse(line.value);
  void commands[command.do]().then(
    (value) => say({ id: command.id, value }),
    (error) => say({ id: command.id, error: messageOf(error) }),
  );
}
process.exit();

import type { ServerInfo } from '@nats-io/transport-node';
import type { FarmCheck } from '../protocol/api.ts';
import type { ControllerSettings } from './controller.ts';
import type { DiskState } from './store/disk-watch.ts';
import { versionAtLeast } from './store/nats-version.ts';

type Looked = {
  settings: Pick<ControllerSettings, 'webhookSecrets' | 'github' | 'natsIsLocal'>;
  disks: readonly DiskState[];
  /** Of the server that is connected; undefined: none is. */
  nats: Pick<ServerInfo, 'version' | 'cluster'> | undefined;
};

/** What a controller can say about itself that nobody sees from outside; `thresh doctor` asks for it. */
export function farmChecks({ settings, disks, nats }: Looked): FarmCheck[] {
  return [
    checkNats(nats),
    checkReach(settings.natsIsLocal === true),
    ...disks.map(checkDisk),
    checkWebhook(settings),
    checkReports(settings),
  ];
}

function checkNats(nats: Looked['nats']): FarmCheck {
  if (!nats)
    return {
      name: 'nats',
      state: 'problem',
      says: 'no NATS server is connected',
      todo: 'start it, or look into its log; nothing is decided until it is back',
    };
  const alone = `nats-server ${nats.version}${nats.cluster ? `, of cluster '${nats.cluster}'` : ', alone'}`;
  if (versionAtLeast(nats.version, '2.10.0')) return { name: 'nats', state: 'ok', says: alone };
  const says = `${alone}: it cannot bring each write to the disk, so a power cut can take its last seconds with it (a crash takes nothing)`;
  return { name: 'nats', state: 'note', says, todo: 'install nats-server 2.10 or newer where power can fail, or run a cluster' };
}

const checkReach = (local: boolean): FarmCheck =>
  local
    ? {
        name: 'other machines',
        state: 'note',
        says: 'NATS listens on this machine only',
        todo: "for agents on others start it with 'thresh up --nats-listen :4222'",
      }
    : { name: 'other machines', state: 'ok', says: 'agents of other machines may join' };

function checkDisk({ name, freeBytes, leastFreeBytes, full }: DiskState): FarmCheck {
  const says = `${gib(freeBytes)} GiB free, ${gib(leastFreeBytes)} GiB needed`;
  if (!full) return { name: `disk of ${name}`, state: 'ok', says };
  return {
    name: `disk of ${name}`,
    state: 'problem',
    says: `${says}: nothing new is accepted`,
    todo: 'make room, or set another bound with --least-free',
  };
}

const gib = (bytes: number): string => (bytes / 1024 ** 3).toFixed(1);

const checkWebhook = ({ webhookSecrets }: Looked['settings']): FarmCheck =>
  webhookSecrets().length > 0
    ? { name: 'webhooks', state: 'ok', says: 'a secret is set: signed webhooks are taken at /hook' }
    : {
        name: 'webhooks',
        state: 'note',
        says: 'no secret is set, so no webhooks are taken',
        todo: 'start it with --webhook-secret-file',
      };

const checkReports = ({ github }: Looked['settings']): FarmCheck =>
  github
    ? { name: 'reports', state: 'ok', says: 'runs are told to GitHub' }
    : {
        name: 'reports',
        state: 'note',
        says: 'no login for GitHub, so runs are not told there',
        todo: 'start it with --github-token-file',
      };

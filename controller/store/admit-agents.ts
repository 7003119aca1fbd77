import type { JetStreamManager } from '@nats-io/jetstream';
import { messageOf } from '../../protocol/errors.ts';
import type { Farm } from '../../protocol/farm.ts';
import type { Confirmed } from './confirmed.ts';
import { removeInbox } from './inboxes.ts';
import type { Log } from './log.ts';
import { updateAgentsConf } from './nats-files.ts';

export type AdmitDeps = {
  confirmed: Confirmed;
  jsm: JetStreamManager;
  log: Log;
  /** The server's directory, when it is on this machine; without, the operator's own means admit agents. */
  natsDir?: string;
};

/**
 * Keeps the list of those who may log in to the server at what the confirmed state says: agents that joined, less those that were revoked, whose
 * inboxes are removed. Any controller on the server's machine may do so: what is written follows from the state alone.
 */
export function admitAgents({ confirmed, jsm, log, natsDir }: AdmitDeps): {
  admitted: (agent: string) => Promise<void>;
  stop: () => void;
} {
  let work: Promise<void> = Promise.resolve();

  const update = async () => {
    const all = [...confirmed.farm.agents.values()];
    for (const { id, state } of all) if (state === 'revoked') await removeInbox(jsm, id);
    if (natsDir === undefined) return;
    const logins = all.filter((a) => a.state !== 'revoked').map(({ id, publicKey }) => ({ id, publicKey }));
    await updateAgentsConf(natsDir, logins);
  };
  const schedule = () => {
    work = work
      .then(update)
      .catch((error) => log.error({ reason: messageOf(error) }, 'the list of agents could not be brought to the NATS server'));
  };
  const stop = confirmed.listen(({ record }) => {
    if (record.type === 'verdict' && record.verdict.changes.some((c) => c.type === 'agent' || c.type === 'agent-state'))
      schedule();
    else if (record.type === 'checkpoint' || record.type === 'leader') schedule();
  });
  return {
    admitted: async (agent) => {
      schedule();
      await work;
      if (!isAdmitted(confirmed.farm, agent)) throw new Error(`agent '${agent}' has been revoked`);
    },
    stop,
  };
}

const isAdmitted = (farm: Farm, agent: string): boolean => {
  const state = farm.agents.get(agent)?.state;
  return state !== undefined && state !== 'revoked';
};

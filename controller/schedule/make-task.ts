import { fromCurveSeed } from '@nats-io/nkeys';
import type { Step } from '../../protocol/job.ts';
import type { Agent } from '../../protocol/record.ts';
import type { Run } from '../../protocol/run.ts';
import type { AttemptKey, Task } from '../../protocol/task.ts';
import type { Keys } from '../store/keys.ts';

export type MakeTaskDeps = {
  agent: (id: string) => Agent | undefined;
  stepsOf: (run: Run) => Promise<Step[] | undefined>;
  /** @throws FarmError BAD_SECRET */
  secret: (name: string) => Promise<Uint8Array>;
  keys: Pick<Keys, 'attemptToken'>;
  /** The controller's curve key, for sealing. A secret. */
  curveSeed: string;
  maxLogBytes: number;
};

/**
 * Everything that an agent needs for one attempt. Secrets are sealed to that agent; an untrusted run gets none: the variables are then not set.
 * @throws when a secret or the steps cannot be had
 */
export async function makeTask(run: Run, agentId: string, key: AttemptKey, term: number, deps: MakeTaskDeps): Promise<Task> {
  const agent = deps.agent(agentId);
  const spec = (await deps.stepsOf(run))?.find((s) => s.name === key.step);
  if (!agent || !spec)
    throw new Error(
      `run ${run.id}: ${agent ? `the definition of step '${key.step}' is not in object storage` : `agent '${agentId}' is not known`}`,
    );
  const curve = fromCurveSeed(new TextEncoder().encode(deps.curveSeed));
  const secrets: Record<string, string> = {};
  if (run.trusted)
    for (const [variable, name] of Object.entries(spec.secrets))
      secrets[variable] = Buffer.from(curve.seal(await deps.secret(name), agent.curveKey)).toString('base64');
  return {
    v: 1,
    term,
    agent: agentId,
    ...key,
    round: run.round,
    workspace: run.workspace,
    job: run.job,
    type: run.type,
    trusted: run.trusted,
    ...(run.refs ? { refs: run.refs } : {}),
    ...(run.source ? { source: run.source } : {}),
    spec,
    secrets,
    ...(Object.keys(secrets).length > 0 ? { sealedBy: curve.getPublicKey() } : {}),
    token: deps.keys.attemptToken(agentId, key),
    maxLogBytes: deps.maxLogBytes,
  };
}

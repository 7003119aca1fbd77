import { type Delivery, Request, type RequestOf } from '../../protocol/delivery.ts';
import type { FarmChange, Verdict } from '../../protocol/record.ts';
import { hasEnded, type NewRun, type Run, shapeOf } from '../../protocol/run.ts';
import { mintRunId } from '../../protocol/run-id.ts';
import type { FactWant, TriggerFarm, TriggerInput } from './input.ts';
import { deliveryKey } from './new-run.ts';
import { isProblem, quote, read } from './read.ts';
import { decideJoin } from './request-join.ts';
import { decideRun } from './request-run.ts';
import { askedBy, verdict } from './verdict.ts';

/** What a person asks for, or an agent that joins: an agent may ask for nothing else. */
export function decideRequest(input: TriggerInput): Verdict {
  const checked = read(Request, input.delivery.request);
  if (isProblem(checked)) return verdict(input, 'refused', `this is not a request: ${checked.problem}`);
  const request = checked.value;
  if (input.delivery.source === 'agent' && request.kind !== 'join') {
    return verdict(input, 'refused', `an agent may only ask to join, not for ${quote(request.kind)}`);
  }
  switch (request.kind) {
    case 'run':
      return decideRun(input, request);
    case 'cancel':
      return cancel(input, request);
    case 'retry':
      return retry(input, request);
    case 'queue':
      return queue(input, request);
    case 'agent':
      return agentState(input, request);
    case 'join':
      return decideJoin(input, request);
  }
}

/** Runs that the request names and the farm's state does not hold, or not with their steps. */
export function requestFacts(delivery: Delivery, farm: Pick<TriggerFarm, 'runs'>): FactWant[] {
  const checked = read(Request, delivery.request);
  if (isProblem(checked) || (checked.value.kind !== 'cancel' && checked.value.kind !== 'retry')) return [];
  const { kind, run: id } = checked.value;
  const run = farm.runs.get(id);
  const known = run && (kind === 'cancel' || !hasEnded(run) || 'inline' in run.spec);
  return known ? [] : [{ kind: 'run', run: id }];
}

/** The run that a request names: as the farm has it, or as it was when it was archived. */
function runOf({ farm, facts }: TriggerInput, id: string): Run | undefined {
  return farm.runs.get(id) ?? (facts.run?.id === id ? facts.run : undefined);
}

function about(run: Run): Pick<Verdict, 'repo' | 'pull'> {
  const [pull, ...others] = run.refs?.pulls ?? [];
  return {
    ...(run.refs ? { repo: `${run.refs.org}/${run.refs.repo}` } : {}),
    ...(pull && others.length === 0 ? { pull: pull.number } : {}),
  };
}

function cancel(input: TriggerInput, { run: id, force, reason }: RequestOf<'cancel'>): Verdict {
  const run = runOf(input, id);
  if (!run) return verdict(input, 'refused', `there is no run ${id}`);
  if (hasEnded(run)) return verdict(input, 'done', `run ${id} had ended already: it ${run.state}`, about(run));
  const asked = run.cancelAsked?.force ? run.cancelAsked : (run.cancel ?? run.cancelAsked);
  if (asked && (asked.force || !force)) {
    return verdict(input, 'done', `run ${id} is being cancelled already, by ${quote(asked.by)}`, about(run));
  }
  const by = askedBy(input);
  return verdict(input, 'done', `run ${id} is cancelled${force ? ' by force' : ''}`, {
    ...about(run),
    cancels: [{ run: id, by, reason: reason ?? `${by} asked for it`, force }],
  });
}

/** The same again, from the steps that the first run had, and no more trusted than it was. */
function retry(input: TriggerInput, { run: id }: RequestOf<'retry'>): Verdict {
  const run = runOf(input, id);
  if (!run) return verdict(input, 'refused', `there is no run ${id}`);
  if (!hasEnded(run)) return verdict(input, 'refused', `run ${id} has not ended; cancel it first, or wait`, about(run));
  const spec = 'inline' in run.spec ? run.spec.inline : input.facts.spec;
  if (!spec || spec.length === 0) return verdict(input, 'refused', `the steps of run ${id} are not kept any more`, about(run));
  const again: NewRun = {
    id: mintRunId(input.farm.lastRunId, input.nowMs),
    job: run.job,
    type: run.type,
    ...(run.refs ? { refs: run.refs } : {}),
    ...(run.source ? { source: run.source } : {}),
    context: run.context,
    optional: run.optional,
    skipReport: run.skipReport,
    trusted: run.trusted,
    priority: run.priority,
    workspace: run.workspace,
    ...(run.lost === undefined ? {} : { lost: run.lost }),
    maxConcurrency: run.maxConcurrency,
    ...(run.group === undefined ? {} : { group: run.group }),
    retryOf: id,
    by: askedBy(input),
    delivery: deliveryKey(input),
    createdAtMs: input.nowMs,
    steps: spec.map(shapeOf),
    spec: { inline: spec },
  };
  return verdict(input, 'runs', `run ${id} is retried`, { ...about(run), creates: [again] });
}

function queue(input: TriggerInput, { queue: name, paused, reason }: RequestOf<'queue'>): Verdict {
  const before = input.farm.pausedQueues.get(name);
  if (!paused && !before) return verdict(input, 'done', `queue ${quote(name)} was not paused`);
  const by = askedBy(input);
  const change: FarmChange = { type: 'queue', queue: name, paused: paused && { by, reason: reason ?? `${by} asked for it` } };
  return verdict(input, 'done', `queue ${quote(name)} is ${paused ? 'paused' : 'served again'}`, { changes: [change] });
}

function agentState(input: TriggerInput, { agent: id, state, reason }: RequestOf<'agent'>): Verdict {
  const agent = input.farm.agents.get(id);
  if (!agent) return verdict(input, 'refused', `there is no agent ${quote(id)}`);
  if (agent.state === state) return verdict(input, 'done', `agent ${quote(id)} was ${state} already`);
  if (agent.state === 'revoked')
    return verdict(input, 'refused', `agent ${quote(id)} is revoked; it must join again with a new key`);
  return verdict(input, 'done', `agent ${quote(id)} is ${state}${reason ? `: ${reason}` : ''}`, {
    changes: [{ type: 'agent-state', agent: id, state, by: askedBy(input) }],
  });
}

import type { RequestOf } from '../../protocol/delivery.ts';
import { protocolRange } from '../../protocol/join.ts';
import type { Agent, Verdict } from '../../protocol/record.ts';
import type { TriggerInput } from './input.ts';
import { quote } from './read.ts';
import { verdict } from './verdict.ts';

/** An agent with a good join token (the door has checked it) asks to be known by a name and two keys. */
export function decideJoin(input: TriggerInput, request: RequestOf<'join'>): Verdict {
  const before = input.farm.agents.get(request.agent);
  const problem = whyNot(input, request, before);
  if (problem !== undefined) return verdict(input, 'refused', problem);
  const { kind: _kind, agent: id, protocol: _protocol, ...told } = request;
  const back = before?.publicKey === request.publicKey ? before : undefined;
  const agent: Agent = {
    ...told,
    id,
    joinedAtMs: input.nowMs,
    state: back?.state ?? 'serving',
    ...(back?.stateBy === undefined ? {} : { stateBy: back.stateBy }),
  };
  return verdict(input, 'done', `agent ${quote(id)} ${back ? 'joined again' : 'joined'}`, {
    changes: [{ type: 'agent', agent }],
  });
}

function whyNot(input: TriggerInput, request: RequestOf<'join'>, before: Agent | undefined): string | undefined {
  const { agent: id, publicKey, protocol } = request;
  const { min, max } = protocolRange;
  if (protocol.min > max || protocol.max < min || protocol.min > protocol.max) {
    return `agent ${quote(id)} speaks protocol ${protocol.min} to ${protocol.max} and this farm ${min} to ${max}; install a version that fits`;
  }
  if (before && before.publicKey !== publicKey && before.state !== 'revoked') {
    return `agent ${quote(id)} exists with another key; choose another name, or revoke it first`;
  }
  // Whoever else holds this key, revoked or not: an agent's permissions hang on its key.
  const holder = [...input.farm.agents.values()].find((a) => a.publicKey === publicKey);
  if (holder?.state === 'revoked') return `the key of agent ${quote(id)} was revoked; make a new one`;
  return holder && holder.id !== id ? `this key is that of agent ${quote(holder.id)}; make a new one` : undefined;
}

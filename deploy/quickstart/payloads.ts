import examples from '@octokit/webhooks-examples' with { type: 'json' };
import type { DemoClone } from './clone.ts';

type Json = { [key: string]: unknown };

/** A payload that GitHub once sent, of the first example that `fits`. */
function recorded(event: string, fits: (payload: Json) => boolean): Json {
  const all = examples as unknown as { name: string; examples: Json[] }[];
  const found = all.find((e) => e.name === event)?.examples.find(fits);
  if (!found) throw new Error(`no recorded '${event}' payload fits`);
  return structuredClone(found);
}

/** A recorded push to a branch, saying that the clone's head was pushed to main. */
export function pushPayload({ head }: DemoClone): Json {
  const payload = recorded('push', (p) => p.deleted === false && String(p.ref).startsWith('refs/heads/'));
  return { ...payload, ref: 'refs/heads/main', after: head, deleted: false };
}

/** The recorded opening of a pull request, with the clone's commits. */
export function pullRequestPayload({ head, pull }: DemoClone): Json {
  const payload = recorded('pull_request', (p) => p.action === 'opened');
  const request = payload.pull_request as Json & { head: Json; base: Json };
  return {
    ...payload,
    number: pull.number,
    pull_request: {
      ...request,
      number: pull.number,
      head: { ...request.head, sha: pull.sha },
      base: { ...request.base, ref: 'main', sha: head },
    },
  };
}

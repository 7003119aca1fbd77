import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { FarmError } from '../../protocol/errors.ts';
import type { GitHub } from '../github/client.ts';
import type { Place, Status } from './desired.ts';

/** What of GitHub's answer is looked at. */
const Combined = Type.Object({
  total_count: Type.Integer(),
  statuses: Type.Array(
    Type.Object({
      context: Type.String(),
      state: Type.String(),
      description: Type.Union([Type.String(), Type.Null()]),
      target_url: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
});
const combined = Compile(Combined);

/** A commit status as GitHub shows it. */
export type Standing = {
  state: string;
  description: string;
  /** The run of this farm that it speaks of, when it does. */
  run?: string;
};

const perPage = 100;
const maxPages = 20;

/**
 * Reads what GitHub shows at a place now: of each context the newest status.
 * @throws FarmError GITHUB_REFUSED, GITHUB_AWAY
 */
export async function readStanding(get: GitHub['get'], { org, repo, sha, context }: Place): Promise<Standing | undefined> {
  const wanted = context.toLowerCase();
  for (let page = 1; page <= maxPages; page += 1) {
    const parameters = { ref: sha, per_page: perPage, page };
    const answer = await get({ owner: org, repo }, 'GET /repos/{owner}/{repo}/commits/{ref}/status', parameters);
    if (!combined.Check(answer)) throw new FarmError('GITHUB_AWAY', { detail: 'its answer is not understood', afterS: 0 });
    const found = answer.statuses.find((s) => s.context.toLowerCase() === wanted);
    if (found) return standing(found);
    if (answer.statuses.length < perPage || page * perPage >= answer.total_count) return undefined;
  }
  return undefined;
}

function standing({ state, description, target_url }: Static<typeof Combined>['statuses'][number]): Standing {
  const run = /\/runs\/([0-9]{1,20})$/.exec(target_url ?? '')?.[1];
  return { state, description: description ?? '', ...(run === undefined ? {} : { run }) };
}

/** The address is not compared but for the run: it may be that of another controller. */
export const says = (standing: Standing | undefined, { run, state, description }: Status): boolean =>
  standing?.run === run && standing.state === state && standing.description === description;

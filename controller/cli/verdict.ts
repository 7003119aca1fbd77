import type { VerdictAnswer } from '../../protocol/api.ts';
import { deliveryAnswer } from './answers.ts';
import { printJson, type Work } from './cli.ts';
import { Refusal, usage } from './exit.ts';
import { plain } from './text.ts';

/** A request that made no sense to the farm is stored and answered like any other; here it is an error. @throws Refusal */
export function heed(answer: VerdictAnswer): void {
  if (answer.verdict?.decision === 'refused') throw new Refusal(0, 'REFUSED', plain(answer.verdict.reason));
}

/** Prints what came of a request that changes something; `done` says it in the past tense. */
export function sayDone(answer: VerdictAnswer, done: string, w: Work): void {
  heed(answer);
  if (w.json) printJson(w.out, answer);
  else if (!answer.verdict) w.out.line(undecided(answer.delivery));
  else w.out.line(answer.verdict.reason ? `${done}  ${w.out.paint('dim', plain(answer.verdict.reason))}` : done);
}

export const undecided = (delivery: string): string =>
  `stored as delivery ${plain(delivery)}; no decision yet: 'thresh deliveries ${plain(delivery)}' shows it`;

/** `SOURCE/ID`, as deliveries are named everywhere. @throws FarmError BAD_USAGE */
export function deliveryPath(name: string): string[] {
  const [source, id, ...more] = name.split('/');
  if (!source || !id || more.length > 0)
    throw usage(`'${plain(name)}' is no delivery; expected SOURCE/ID as 'thresh deliveries' prints it`);
  return ['api', 'deliveries', source, id];
}

export const deliveryOf = (name: string, w: Work) => w.farm.get(deliveryPath(name), {}, deliveryAnswer);

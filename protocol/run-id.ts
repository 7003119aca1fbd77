import { later } from './farm.ts';

/** Snowflake ids count from 2010-11-04T01:42:54.657Z, as Prow's build ids do, so both sort together. */
const epochMs = 1_288_834_974_657n;

/**
 * The next run id: 19 decimal digits, greater than `last` whatever the clock says.
 * @param last the greatest id so far; '0' when there is none
 * @param nowMs milliseconds since the epoch
 */
export function mintRunId(last: string, nowMs: number): string {
  const now = ((BigInt(nowMs) - epochMs) << 22n).toString();
  return nowMs > epochMs && later(now, last) ? now : (BigInt(last) + 1n).toString();
}

/** When a run id was minted, milliseconds since the epoch. */
export const mintedAtMs = (id: string): number => Number((BigInt(id) >> 22n) + epochMs);

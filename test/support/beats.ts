import type { Beat } from '../../protocol/beat.ts';

/** The beat of an agent with four slots that holds nothing; `over` says what matters to the test. */
export const beatWith = (over: Partial<Beat> = {}): Beat => ({
  v: 1,
  term: 1,
  slots: { total: 4, free: 4 },
  draining: false,
  held: [],
  workspaces: [],
  shipping: 0,
  health: {},
  ...over,
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maxAttempts } from '../../../protocol/dag.ts';
import { hasEnded } from '../../../protocol/run.ts';
import { anyRun, checkEnd, choices, Play } from './play.ts';

test('any DAG ends once and keeps the rules, whatever agents and people do to it', () => {
  fc.assert(
    fc.property(anyRun, choices(60), (created, turns) => {
      const play = new Play(created);
      for (const turn of turns) play.turn(turn, { rare: true });
      play.finish();
      checkEnd(play);
    }),
    { numRuns: 1_500 },
  );
});

test('a run that has ended stays as it is, whatever still arrives', () => {
  fc.assert(
    fc.property(anyRun, choices(20), choices(30), (created, turns, late) => {
      const play = new Play(created);
      for (const turn of turns) play.turn(turn, { rare: true });
      play.finish();
      const ended = play.run;
      for (const { spice } of late) play.turn({ pick: 0, spice }, { rare: true });
      for (const event of [...play.stored]) play.move(event);
      assert.deepEqual(play.run, ended);
    }),
    { numRuns: 200 },
  );
});

test('a run ends after a bounded number of moves although the world never stops being hostile', () => {
  fc.assert(
    fc.property(anyRun, choices(12), (created, turns) => {
      const play = new Play(created);
      // Each attempt is assigned, started and ended; a rare turn may do nothing, so some turns more are granted.
      const bound = created.steps.length * maxAttempts * 3;
      const hostile = turns.length > 0 ? turns : [{ pick: 1, spice: 5 }];
      for (let i = 0; !hasEnded(play.run) && i < bound; i++) {
        const { pick, spice } = hostile[i % hostile.length] ?? { pick: 1, spice: 5 };
        play.turn({ pick: pick + i, spice: spice + (i % 3) }, { rare: false });
      }
      assert.ok(hasEnded(play.run), `after ${bound} moves`);
      checkEnd(play);
    }),
    { numRuns: 60 },
  );
});

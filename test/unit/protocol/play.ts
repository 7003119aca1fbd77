import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decide, following } from '../../../protocol/dag.ts';
import {
  applyToRun,
  hasEnded,
  isSettled,
  type NewRun,
  openAttempts,
  openRun,
  type Run,
  type RunEvent,
  type RunStep,
  type StepShape,
  stepOf,
} from '../../../protocol/run.ts';
import { newRun } from '../../support/runs.ts';

/** Any DAG that the jobs room lets through: steps stand after their needs, and only `finally` steps need `finally` steps. */
export const anyRun: fc.Arbitrary<NewRun> = fc
  .record({
    workspace: fc.constantFrom('local' as const, 'shared' as const),
    steps: fc.array(
      fc.record({
        needs: fc.array(fc.nat(20), { maxLength: 3 }),
        when: fc.constantFrom('success' as const, 'success' as const, 'failure' as const, 'always' as const),
        finally: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
        retries: fc.nat(3),
      }),
      { minLength: 1, maxLength: 7 },
    ),
  })
  .map(({ workspace, steps }) => {
    const shapes: StepShape[] = [];
    for (const [i, s] of steps.entries()) {
      const allowed = shapes.filter((before) => s.finally || !before.finally);
      const needs = new Set(s.needs.flatMap((n) => allowed[n % Math.max(1, allowed.length)]?.name ?? []));
      shapes.push({ ...s, name: `s${i}`, needs: [...needs], queue: 'default' });
    }
    return newRun(shapes, { workspace });
  });

/** What a player chooses: `pick` says which of the possible moves (modulo their number), `spice` how an attempt ends. */
export type Choice = { pick: number; spice: number };
export const choices = (maxLength: number): fc.Arbitrary<Choice[]> =>
  fc.array(fc.record({ pick: fc.nat(1_000), spice: fc.nat(1_000) }), { maxLength });

type AttemptOutcome = Extract<RunEvent, { type: 'attempt' }>['event'];

/** One run being played: what has been stored of it, and what the player did that the engine may not forget. */
export class Play {
  run: Run;
  readonly created: NewRun;
  readonly stored: RunEvent[] = [];
  moves = 0;
  /** The player took the workspace of this round away. */
  goneInRound = 0;
  private atMs = 2_000;

  constructor(created: NewRun) {
    this.created = created;
    this.run = openRun(created);
    this.checkStable();
  }

  /** Decides on `cause`, and checks every rule that speaks of single transitions. */
  move(cause: RunEvent): void {
    this.moves++;
    this.atMs++;
    const before = this.run;
    const { run, events } = decide(before, cause, this.atMs);
    let at = before;
    for (const event of events) {
      checkTransition(at, event);
      at = applyToRun(at, event);
    }
    assert.deepEqual(at, run, 'what decide returns is what its events fold to');
    this.stored.push(...events);
    this.run = run;
    this.checkStable();
    const repeated = decide(run, cause, this.atMs + 1);
    assert.deepEqual(repeated.events, [cause], 'a cause decided again is followed by nothing');
    if (cause.type !== 'homeless') assert.deepEqual(repeated.run, run, `a repeated '${cause.type}' changes nothing`);
    if (hasEnded(before)) assert.deepEqual(run, before, `'${cause.type}' changes nothing after the end`);
  }

  private checkStable(): void {
    assert.deepEqual(following(this.run, this.atMs), [], 'nothing follows in a state at rest');
    for (const step of this.run.at)
      assert.deepEqual(
        step.attempts.map((a) => a.attempt),
        step.attempts.map((_, i) => i + 1),
      );
    const working = this.run.at.some((s) => s.state === 'ready') || openAttempts(this.run).length > 0;
    assert.equal(working, !hasEnded(this.run), 'a run waits for an agent or has ended, and never both or neither');
  }

  /** What an honest world can do next to a run that has not ended. */
  private possible(spice: number): (() => void)[] {
    const moves: (() => void)[] = [];
    for (const step of this.run.at)
      if (step.state === 'ready')
        moves.push(() => {
          const agent = this.run.home ?? `agent-${spice % 3}`;
          this.move({ type: 'assigned', step: step.name, attempt: step.attempts.length + 1, agent, atMs: this.atMs });
        });
    for (const { step, attempt } of openAttempts(this.run)) {
      const say = (event: AttemptOutcome) => {
        const lost = event === 'expire' || (event === 'return' && attempt.state !== 'stopping');
        if (this.run.workspace === 'local' && lost) this.goneInRound = this.run.round;
        this.move({ type: 'attempt', step, attempt: attempt.attempt, event, atMs: this.atMs, end: { logBytes: spice } });
      };
      if (attempt.state === 'assigned') moves.push(() => say('start'));
      const outcomes = ['pass', 'pass', 'fail', 'error', 'stopped', 'return', 'expire'] as const;
      moves.push(() => say(outcomes[spice % outcomes.length] ?? 'pass'));
    }
    return moves;
  }

  /** What the world does seldom: cancels, takes the workspace, repeats itself, talks of what is over or never was. */
  private rare(spice: number): RunEvent | undefined {
    const first = this.run.at.at(0)?.attempts.at(0);
    switch (spice % 6) {
      case 0:
        return { type: 'cancel', by: 'anna', reason: 'enough', force: spice % 5 === 0, atMs: this.atMs };
      case 1:
        return this.run.home === undefined ? undefined : { type: 'homeless', why: 'its agent has left', spent: spice % 4 === 0 };
      case 2: {
        // Messages are delivered at least once.
        const said = this.stored.filter((e) => e.type === 'assigned' || e.type === 'attempt' || e.type === 'cancel');
        return said[spice % Math.max(1, said.length)];
      }
      case 3:
        return { type: 'assigned', step: 'nobody', attempt: 1, agent: 'agent-0', atMs: this.atMs };
      case 4:
        return { type: 'attempt', step: 's0', attempt: 99, event: 'pass', atMs: this.atMs };
      default: {
        const event = first?.round === this.run.round ? 'start' : 'pass';
        return { type: 'attempt', step: 's0', attempt: 1, event, atMs: this.atMs };
      }
    }
  }

  /** One turn by `choice`; one in eight is a rare one when `rare` is wanted. */
  turn(choice: Choice, options: { rare: boolean }): void {
    if (options.rare && choice.pick % 8 === 0) {
      const cause = this.rare(choice.spice);
      if (cause?.type === 'homeless') this.goneInRound = this.run.round;
      if (cause) this.move(cause);
      return;
    }
    const moves = this.possible(choice.spice);
    moves[choice.pick % Math.max(1, moves.length)]?.();
  }

  /** The world behaves from now on: what is ready is assigned, what runs passes, what must stop stops. */
  finish(): void {
    for (let left = 10_000; !hasEnded(this.run); left--) {
      assert.ok(left > 0, 'a run that nobody disturbs ends');
      const [open] = openAttempts(this.run);
      if (open) {
        const event = open.attempt.state === 'stopping' ? 'stopped' : 'pass';
        this.move({ type: 'attempt', step: open.step, attempt: open.attempt.attempt, event, atMs: this.atMs });
      } else this.turn({ pick: 0, spice: 0 }, { rare: false });
    }
  }
}

/** The rules about one event in the state that it meets. */
function checkTransition(run: Run, event: RunEvent): void {
  if (event.type === 'finished' && !hasEnded(run)) {
    assert.deepEqual(openAttempts(run), [], 'no attempt is out when a run ends');
    assert.ok(
      run.at.every((s) => isSettled(s.state)),
      'every step has an end when the run has',
    );
  }
  if (event.type !== 'assigned' && event.type !== 'ready') return;
  const after = applyToRun(run, event);
  if (after === run) return;
  const shape = run.steps.find((s) => s.name === event.step);
  assert.ok(shape);
  const waitsFor = shape.finally ? run.steps.filter((s) => !s.finally).map((s) => s.name) : [];
  for (const name of [...shape.needs, ...waitsFor])
    assert.ok(isSettled(stepOf(run, name)?.state ?? 'waiting'), `${event.step} waits until ${name} has ended`);
}

/** The rules about a run that has ended, and about all that was stored of it. */
export function checkEnd(play: Play): void {
  const { run, stored } = play;
  assert.ok(hasEnded(run));
  const ends = stored.filter((e, i) => e.type === 'finished' && !hasEnded(fold(play.created, stored.slice(0, i))));
  assert.equal(ends.length, 1, 'a run ends once');
  assert.deepEqual(fold(play.created, stored), run, 'the stored events alone give the same run');

  const spent = run.state === 'errored' && /rounds were lost|were made/.test(run.at.map((s) => s.why).join());
  const workspaceGone = play.goneInRound === run.round;
  for (const shape of run.steps) {
    const step = stepOf(run, shape.name);
    assert.ok(step);
    const notPassed = shape.needs.filter((n) => stepOf(run, n)?.state !== 'passed');
    if (shape.when === 'success' && notPassed.length > 0) {
      assert.deepEqual(ofRound(run, step), [], `${shape.name} never starts, as ${notPassed} did not pass`);
      assert.ok(step.state === 'skipped' || run.cancel || spent, `${shape.name} is ${step.state}`);
    }
    const mustRun = shape.finally && shape.needs.length === 0 && shape.when !== 'failure';
    if (mustRun && !run.cancel?.force && !workspaceGone)
      assert.ok(ofRound(run, step).length > 0, `finally step ${shape.name} ran, but it is ${step.state}`);
    if (mustRun && workspaceGone && !run.cancel) assert.ok(ofRound(run, step).length > 0 || spent);
  }
  if (run.cancel) assert.equal(run.state, 'cancelled');
  if (run.state === 'passed') assert.ok(run.at.every((s) => s.state === 'passed' || s.state === 'skipped'));
}

const ofRound = (run: Run, step: RunStep) => step.attempts.filter((a) => a.round === run.round);

export const fold = (created: NewRun, events: readonly RunEvent[]): Run => events.reduce(applyToRun, openRun(created));

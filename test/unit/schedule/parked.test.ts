import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Parked } from '../../../controller/schedule/parked.ts';
import type { BeatAnswer } from '../../../protocol/beat.ts';
import { beatWith } from '../../support/beats.ts';

const beat = beatWith();
const answers = () => {
  const given: BeatAnswer['type'][] = [];
  return { given, answer: (a: BeatAnswer) => void given.push(a.type) };
};

test('a beat is held for its time, then its holder is told', async () => {
  const parked = new Parked();
  const { given, answer } = answers();
  await new Promise<void>((over) => parked.hold('a', beat, answer, 1, over));
  assert.equal(parked.peek('a'), beat, 'it is for the holder to take it');
  parked.take('a')?.answer({ v: 1, type: 'again' });
  assert.deepEqual([given, parked.peek('a')], [['again'], undefined]);
});

test('a beat that is taken is not told of later', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const parked = new Parked();
  parked.hold('a', beat, answers().answer, 3_000, () => assert.fail('it was taken'));
  assert.equal(parked.take('a')?.beat, beat);
  assert.equal(parked.take('a'), undefined);
  t.mock.timers.tick(10_000);
});

test('the second beat of an agent sends the first one home', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const parked = new Parked();
  const [first, second] = [answers(), answers()];
  parked.hold('a', beat, first.answer, 3_000, () => assert.fail('it was replaced'));
  parked.hold('a', beatWith({ term: 2 }), second.answer, 3_000, () => {});
  assert.deepEqual([first.given, second.given, parked.peek('a')?.term], [['again'], [], 2]);
});

test('when the leader steps down every beat is asked again, at once', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const parked = new Parked();
  const all = ['a', 'b', 'c'].map((agent) => {
    const one = answers();
    parked.hold(agent, beat, one.answer, 3_000, () => assert.fail('it was cleared'));
    return one;
  });
  parked.clear();
  t.mock.timers.tick(10_000);
  assert.deepEqual(
    all.map((one) => one.given),
    [['again'], ['again'], ['again']],
  );
});

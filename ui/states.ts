/** How a state looks: a word, a shape and a tone, so that none of them alone has to tell. */
export type Look = { word: string; shape: Shape; tone: Tone };
export type Tone = 'good' | 'bad' | 'warn' | 'busy' | 'idle';
export type Shape =
  | 'tick'
  | 'cross'
  | 'alarm'
  | 'barred'
  | 'skip'
  | 'spin'
  | 'clock'
  | 'hollow'
  | 'stop'
  | 'lost'
  | 'back'
  | 'dot'
  | 'pause';

const looks: Record<string, Look> = {
  // runs, steps, attempts
  queued: { word: 'queued', shape: 'clock', tone: 'idle' },
  waiting: { word: 'waiting', shape: 'hollow', tone: 'idle' },
  ready: { word: 'ready', shape: 'clock', tone: 'idle' },
  assigned: { word: 'assigned', shape: 'clock', tone: 'busy' },
  running: { word: 'running', shape: 'spin', tone: 'busy' },
  stopping: { word: 'stopping', shape: 'stop', tone: 'warn' },
  passed: { word: 'passed', shape: 'tick', tone: 'good' },
  failed: { word: 'failed', shape: 'cross', tone: 'bad' },
  errored: { word: 'errored', shape: 'alarm', tone: 'warn' },
  skipped: { word: 'skipped', shape: 'skip', tone: 'idle' },
  cancelled: { word: 'cancelled', shape: 'barred', tone: 'idle' },
  lost: { word: 'lost', shape: 'lost', tone: 'warn' },
  returned: { word: 'returned', shape: 'back', tone: 'idle' },
  // agents, queues
  serving: { word: 'serving', shape: 'dot', tone: 'good' },
  cordoned: { word: 'cordoned', shape: 'pause', tone: 'warn' },
  draining: { word: 'draining', shape: 'pause', tone: 'warn' },
  revoked: { word: 'revoked', shape: 'barred', tone: 'bad' },
  silent: { word: 'silent', shape: 'lost', tone: 'bad' },
  paused: { word: 'paused', shape: 'pause', tone: 'warn' },
  open: { word: 'open', shape: 'dot', tone: 'good' },
  // verdicts
  runs: { word: 'runs', shape: 'tick', tone: 'good' },
  nothing: { word: 'nothing', shape: 'hollow', tone: 'idle' },
  no: { word: 'no', shape: 'hollow', tone: 'idle' },
  done: { word: 'done', shape: 'tick', tone: 'good' },
  refused: { word: 'refused', shape: 'barred', tone: 'bad' },
  superseded: { word: 'superseded', shape: 'skip', tone: 'idle' },
  expired: { word: 'expired', shape: 'lost', tone: 'warn' },
};

/** A state that this page does not know yet is shown by its own word. */
export const lookOf = (state: string): Look => looks[state] ?? { word: state, shape: 'hollow', tone: 'idle' };

/** What can happen to an attempt. `cancel` asks it to stop; `stopped` says that it did; `return`: given back unharmed by a draining agent. */
export type AttemptEvent = 'start' | 'pass' | 'fail' | 'error' | 'cancel' | 'stopped' | 'return' | 'expire';

const over = {
  start: null,
  pass: null,
  fail: null,
  error: null,
  cancel: null,
  stopped: null,
  return: null,
  expire: null,
} as const;

/** Where each event leads. null: late or repeated, changes nothing. */
const next = {
  assigned: {
    start: 'running',
    pass: 'passed',
    fail: 'failed',
    error: 'errored',
    cancel: 'stopping',
    stopped: 'cancelled',
    return: 'returned',
    expire: 'lost',
  },
  running: {
    start: null,
    pass: 'passed',
    fail: 'failed',
    error: 'errored',
    cancel: 'stopping',
    stopped: 'cancelled',
    return: 'returned',
    expire: 'lost',
  },
  stopping: {
    start: null,
    pass: 'passed',
    fail: 'cancelled',
    error: 'cancelled',
    cancel: null,
    stopped: 'cancelled',
    return: 'cancelled',
    expire: 'lost',
  },
  passed: over,
  failed: over,
  errored: over,
  cancelled: over,
  returned: over,
  lost: over,
} as const satisfies Record<string, Record<AttemptEvent, string | null>>;

export type AttemptState = keyof typeof next;

/** The state after `event`; the same state when the event is late or repeated. */
export const advanceAttempt = (state: AttemptState, event: AttemptEvent): AttemptState => next[state][event] ?? state;

export const isOpen = (state: AttemptState): state is 'assigned' | 'running' | 'stopping' => next[state] !== over;

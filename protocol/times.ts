/** The times that both sides agree on, milliseconds. Each is a setting; these are the defaults. */
export type Times = {
  /** How long the leader may hold the answer to a beat when there is nothing to say. */
  beatHoldMs: number;
  /** When an agent gives a beat up as unanswered. Longer than `beatHoldMs`, or held answers would go to nobody. */
  beatTimeoutMs: number;
  /** An agent not heard for so long is shown as silent and gets nothing new. */
  silentMs: number;
  /** An attempt whose agent was not heard for so long is lost. */
  leaseMs: number;
  /** The leader says that it is alive this often. */
  heartbeatMs: number;
  /** A replica that hears no heartbeat for so long tries to take over; a leader whose last proof is older decides nothing. */
  takeoverMs: number;
  /** A task that its agent does not name within this time is published again. */
  unacceptedMs: number;
};

export const defaultTimes: Times = {
  beatHoldMs: 3_000,
  beatTimeoutMs: 5_000,
  silentMs: 9_000,
  leaseMs: 20_000,
  heartbeatMs: 1_000,
  takeoverMs: 3_000,
  unacceptedMs: 5_000,
};

/** How often a task is published before its attempt counts as lost. */
export const maxTaskPublishes = 3;

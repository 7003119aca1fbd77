import type { Executor } from '../executor/executor.ts';

/** An executor that leaves the built-in step to `checkout` and everything else to `executor`. */
export function withCheckout(executor: Executor, checkout: Executor): Executor {
  const { adopt } = executor;
  return {
    ...executor,
    start: (job) => (job.spec.builtin === 'checkout' ? checkout : executor).start(job),
    // git runs as a process of this machine, whatever the other steps are.
    reap: (handle) => (handle.kind === 'process' ? checkout : executor).reap(handle),
    ...(adopt ? { adopt: async (handle, job) => (job.spec.builtin === 'checkout' ? undefined : adopt(handle, job)) } : {}),
  };
}

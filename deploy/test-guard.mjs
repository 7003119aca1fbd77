// Loaded into every process of `npm test`: a test file that leaves something running fails, instead of keeping the whole run waiting.

import { isMainThread } from 'node:worker_threads';

/** What tests have left behind may still end by itself for so long, milliseconds. */
const graceMs = 10_000;

// Not in the runner, and not in programs and threads that a test starts: they inherit this.
if (isMainThread && process.env.NODE_TEST_CONTEXT && /\.test\.ts$/.test(process.argv[1] ?? '')) {
  const { after } = await import('node:test');
  after(() => {
    setTimeout(() => {
      const left = process.getActiveResourcesInfo().filter((name) => name !== 'Timeout');
      process.stderr.write(
        `${process.argv[1]}: still running ${graceMs / 1000} s after its last test: ${left.join(', ') || 'timers'}\n`,
      );
      process.exit(1);
    }, graceMs).unref();
  });
}

/*
 * An agent without a farm, for tests that pull its plug: starts one step in the workspace and scratch named on the command line,
 * prints the handle as a line of JSON, then waits to be killed.
 */
import { processExecutor } from '../../agent/executor/process.ts';
import { stepWith } from './steps.ts';

const [workspace = '', scratch = '', script = '', hold = ''] = process.argv.slice(2);
processExecutor().start({
  key: { run: '1', step: 'test', attempt: 1 },
  spec: stepWith({ script }),
  env: {},
  workspace,
  scratch,
  output: () => {},
  handle: (handle) => {
    console.log(JSON.stringify(handle));
    // Held: killed before the step was let go.
    return hold ? new Promise(() => {}) : undefined;
  },
});
setInterval(() => {}, 60_000);

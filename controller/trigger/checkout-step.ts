import { checkoutName, type Step } from '../../protocol/job.ts';

const timeoutMs = 3_600_000;
const graceMs = 5_000;

/** The steps of a run that tests a repository: first the source is checked out, and what needed nothing now needs that. */
export function withCheckout(steps: readonly Step[]): Step[] {
  const first = steps.find((s) => s.needs.length === 0 && !s.finally) ?? steps[0];
  const checkout: Step = {
    name: checkoutName,
    builtin: 'checkout',
    env: [],
    secrets: {},
    needs: [],
    when: 'success',
    finally: false,
    timeoutMs,
    graceMs,
    retries: 0,
    queue: first?.queue ?? 'default',
  };
  return [checkout, ...steps.map((s) => (s.finally || s.needs.length > 0 ? s : { ...s, needs: [checkoutName] }))];
}

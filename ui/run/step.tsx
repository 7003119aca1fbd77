import type { Waiting } from '../../protocol/api.ts';
import { isOpen } from '../../protocol/attempt.ts';
import { type Attempt, attemptOf, lastAttempt, type Run, type RunStep } from '../../protocol/run.ts';
import { LogView } from '../log/view.tsx';
import { Ago, Fact, Took } from '../parts.tsx';
import { query } from '../router.ts';
import { Icon, State } from '../state.tsx';
import { lookOf } from '../states.ts';
import { plain } from '../words.ts';

/** One step: its attempts, what is known of the one that is shown, and its log. */
export function StepPanel({ run, step, waiting }: { run: Run; step: RunStep; waiting: Waiting | undefined }) {
  const chosen = Number(query.value.get('attempt'));
  const attempt = attemptOf(run, step.name, chosen) ?? lastAttempt(step);
  return (
    <section class="step" aria-labelledby="step-name">
      <div class="head">
        <h2 id="step-name">{step.name}</h2>
        <State state={step.state} />
        {step.attempts.length > 1 && <Attempts run={run} step={step} shown={attempt?.attempt} />}
      </div>
      <p class="quiet">{whyOf(run, step, waiting)}</p>
      {attempt && <AttemptFacts attempt={attempt} />}
      {attempt && (
        <LogView
          key={`${step.name}/${attempt.attempt}`}
          run={run.id}
          step={step.name}
          attempt={attempt.attempt}
          totalBytes={isOpen(attempt.state) ? undefined : attempt.logBytes}
        />
      )}
    </section>
  );
}

/** Why the step is where it is, where its state alone does not say. */
function whyOf(run: Run, step: RunStep, waiting: Waiting | undefined): string {
  if (step.why !== undefined) return plain(step.why);
  const shape = run.steps.find((s) => s.name === step.name);
  if (step.state === 'ready')
    return waiting ? `in queue ${shape?.queue}: ${plain(waiting.why)}` : `waits for an agent of queue ${shape?.queue}`;
  if (step.state !== 'waiting') return '';
  if (shape?.finally && shape.needs.length === 0) return 'runs when all other steps have ended';
  return `waits for ${shape?.needs.join(', ')}`;
}

const Attempts = ({ run, step, shown }: { run: Run; step: RunStep; shown: number | undefined }) => (
  <nav class="attempts" aria-label={`Attempts of ${step.name}`}>
    {step.attempts.map((a) => (
      <a
        key={a.attempt}
        href={`/runs/${run.id}?step=${encodeURIComponent(step.name)}&attempt=${a.attempt}`}
        data-keep
        aria-current={a.attempt === shown ? 'true' : undefined}
      >
        <Icon state={a.state} />
        {a.attempt}
        <span class="hidden"> {lookOf(a.state).word}</span>
      </a>
    ))}
  </nav>
);

function AttemptFacts({ attempt: a }: { attempt: Attempt }) {
  return (
    <dl class="facts">
      {a.attempt > 1 && (
        <Fact name="Attempt">
          {a.attempt}
          {a.round > 1 && `, round ${a.round}`}: {lookOf(a.state).word}
        </Fact>
      )}
      <Fact name="Agent">{a.agent}</Fact>
      <Fact name={a.startedAtMs === undefined ? 'Assigned' : 'Started'}>
        <Ago atMs={a.startedAtMs ?? a.assignedAtMs} />
      </Fact>
      {a.startedAtMs !== undefined && (
        <Fact name="Took">
          <Took fromMs={a.startedAtMs} toMs={a.endedAtMs} />
        </Fact>
      )}
      {a.exitCode !== undefined && (
        <Fact name="Exit code">
          {a.exitCode}
          {a.signal !== undefined && ` (${a.signal})`}
        </Fact>
      )}
      {a.message !== undefined && <Fact name="Message">{plain(a.message)}</Fact>}
    </dl>
  );
}

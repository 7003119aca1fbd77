import type { Waiting } from '../../protocol/api.ts';
import { repoOf } from '../../protocol/change.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';
import { useAnswer } from '../news.ts';
import { Ago, Fact, Instead, Problem, RunLink, Title, Took } from '../parts.tsx';
import { query } from '../router.ts';
import { State } from '../state.tsx';
import { plain, shortSha } from '../words.ts';
import { cancelRun, retryRun } from './actions.ts';
import { Artifacts } from './artifacts.tsx';
import { Dag } from './dag.tsx';
import { JUnit } from './junit.tsx';
import { stepToShow } from './select.ts';
import { StepPanel } from './step.tsx';
import { useRun } from './use-run.ts';

export function RunPage({ id }: { id: string }) {
  const { run, problem } = useRun(id);
  const ended = run !== undefined && hasEnded(run);
  const { data: waits } = useAnswer<{ waiting: Waiting[] }>(run && !ended ? `/api/runs/${id}/waiting` : undefined, [
    'queues',
    'agents',
  ]);
  if (!run)
    return (
      <>
        <Title tab="Run">Run {id}</Title>
        <Instead problem={problem} />
      </>
    );
  const step = stepToShow(run, query.value.get('step'));
  const waiting = waits?.waiting.find((w) => w.step === step?.name);
  return (
    <>
      <p class="crumb">
        <a href="/runs">Runs</a> / <a href={`/runs?job=${encodeURIComponent(run.job)}`}>{plain(run.job)}</a>
      </p>
      <div class="head">
        <Title tab={`${run.job} ${run.state}`}>{plain(run.job)}</Title>
        <State state={run.state} />
        <span class="buttons">
          {!ended && (
            <button type="button" class="danger" onClick={() => cancelRun(run)}>
              {run.cancel ? 'Cancel at once' : 'Cancel'}
            </button>
          )}
          {ended && (
            <button type="button" onClick={() => void retryRun(run)}>
              Retry
            </button>
          )}
        </span>
      </div>
      {problem && <Problem text={problem} />}
      <p class="lead">{reasonOf(run)}</p>
      <Facts run={run} />
      {run.steps.length > 1 && <Dag run={run} selected={step?.name} />}
      {step && <StepPanel key={step.name} run={run} step={step} waiting={waiting} />}
      <JUnit run={run} />
      <Artifacts run={run} />
    </>
  );
}

/** One sentence about where the run is. */
function reasonOf(run: Run): string {
  if (run.reason !== undefined) return sentence(run.reason);
  const cancel = run.cancel ?? run.cancelAsked;
  if (cancel) return sentence(`cancelled by ${cancel.by}: ${cancel.reason}; ${run.cancel ? 'it is stopping' : 'it will stop'}`);
  if (run.state === 'queued') return 'Its first step has not started.';
  return run.round > 1 ? `Round ${run.round}: the workspace of the one before was lost.` : 'Its steps are under way.';
}

const sentence = (text: string): string => {
  const t = plain(text);
  return `${t.charAt(0).toUpperCase()}${t.slice(1)}${/[.!?]$/.test(t) ? '' : '.'}`;
};

function Facts({ run }: { run: Run }) {
  const { refs } = run;
  return (
    <dl class="facts">
      {refs && (
        <Fact name="Change">
          {plain(repoOf(refs))}
          {refs.pulls.length === 0 && ` ${plain(refs.baseRef)}`}
          {refs.baseSha !== undefined && refs.pulls.length === 0 && (
            <>
              {' '}
              <code title={refs.baseSha}>{shortSha(refs.baseSha)}</code>
            </>
          )}
          {refs.pulls.map((pull) => (
            <span class="pull" key={pull.number}>
              #{pull.number} <code title={pull.sha}>{shortSha(pull.sha)}</code> by {plain(pull.author)}
              {pull.title !== undefined && <span class="quiet"> {plain(pull.title)}</span>}
            </span>
          ))}
        </Fact>
      )}
      <Fact name="Started by">
        {plain(run.by)} (
        <a href={`/deliveries/${run.delivery.split('/').map(encodeURIComponent).join('/')}`}>
          {run.type === 'manual' ? 'request' : 'delivery'}
        </a>
        )
      </Fact>
      <Fact name="Created">
        <Ago atMs={run.createdAtMs} />
      </Fact>
      {run.startedAtMs !== undefined && (
        <Fact name="Took">
          <Took fromMs={run.startedAtMs} toMs={run.endedAtMs} />
        </Fact>
      )}
      {run.home !== undefined && <Fact name="Workspace on">{run.home}</Fact>}
      {!run.trusted && <Fact name="Trust">not trusted: it gets no secrets</Fact>}
      {run.retryOf !== undefined && (
        <Fact name="Retry of">
          <RunLink run={run.retryOf} />
        </Fact>
      )}
      <Fact name="Run">
        <code>{run.id}</code>
      </Fact>
    </dl>
  );
}

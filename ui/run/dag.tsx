import { useMemo } from 'preact/hooks';
import { lastAttempt, type Run, type RunStep } from '../../protocol/run.ts';
import { Took } from '../parts.tsx';
import { Icon } from '../state.tsx';
import { lookOf } from '../states.ts';
import { count } from '../words.ts';
import { layOut, nodeSize, pathOf } from './graph.ts';

/** The steps of a run, each after those that it needs, with their states. */
export function Dag({ run, selected }: { run: Run; selected: string | undefined }) {
  const shape = run.steps.map((s) => `${s.name}:${s.needs.join()}:${s.finally}`).join(' ');
  // `shape` says all that the layout depends on.
  const graph = useMemo(() => layOut(run.steps), [shape]);
  const stateOf = new Map(run.at.map((s) => [s.name, s]));
  return (
    <nav class="dag" aria-label="Steps">
      <div class="sheet" style={{ width: `${graph.width}px`, height: `${graph.height}px` }}>
        <svg width={graph.width} height={graph.height} aria-hidden="true">
          {graph.edges.map((edge) => (
            <path key={`${edge.from} ${edge.to}`} class={edge.finally ? 'edge finally' : 'edge'} d={pathOf(edge.points)} />
          ))}
        </svg>
        {graph.nodes.map(({ name, x, y }) => {
          const step = stateOf.get(name);
          return step && <StepNode key={name} run={run} step={step} x={x} y={y} selected={selected === name} />;
        })}
      </div>
    </nav>
  );
}

function StepNode({ run, step, x, y, selected }: { run: Run; step: RunStep; x: number; y: number; selected: boolean }) {
  const { word, tone } = lookOf(step.state);
  const last = lastAttempt(step);
  const tries = step.attempts.length;
  return (
    <a
      class={`node tone-${tone}`}
      href={`/runs/${run.id}?step=${encodeURIComponent(step.name)}`}
      data-keep
      data-step={step.name}
      data-state={step.state}
      aria-current={selected ? 'true' : undefined}
      style={{ left: `${x}px`, top: `${y}px`, width: `${nodeSize.width}px`, height: `${nodeSize.height}px` }}
    >
      <Icon state={step.state} />
      <span class="name" title={step.name}>
        {step.name}
      </span>
      <span class="note">
        {word}
        {last?.startedAtMs !== undefined && (
          <>
            {' · '}
            <Took fromMs={last.startedAtMs} toMs={last.endedAtMs} />
          </>
        )}
        {tries > 1 && ` · ${count(tries, 'attempt')}`}
      </span>
    </a>
  );
}

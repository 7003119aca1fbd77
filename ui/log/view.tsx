import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { count } from '../words.ts';
import { paletteColour, type Style } from './ansi.ts';
import type { Line } from './buffer.ts';
import { piecesOf } from './pieces.ts';
import { type Match, maxMatches, search } from './search.ts';
import { type Log, logPath, useLog } from './use-log.ts';

/** Pixels; the style sheet has the same. */
const rowHeight = 20;
/** Rows drawn above and below what is seen. */
const spare = 12;

type Props = { run: string; step: string; attempt: number; totalBytes: number | undefined };

export function LogView({ run, step, attempt, totalBytes }: Props) {
  const log = useLog(run, step, attempt, totalBytes);
  const { buffer, version, gone } = log;
  const box = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);
  const [seen, setSeen] = useState({ top: 0, height: 600 });
  const [wanted, setWanted] = useState('');
  const [chosen, setChosen] = useState(0);

  // The buffer changes in place; `version` says when.
  const found = useMemo(() => search(buffer, wanted), [buffer, version, wanted]);
  const current = found.length === 0 ? undefined : found[Math.min(chosen, found.length - 1)];

  /** Where the box was scrolled to when it was last looked at, or moved from here. */
  const top = useRef(0);
  const goneBefore = useRef(0);
  // After each drawing: lines may have come or gone.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const lines = gone - goneBefore.current;
    goneBefore.current = gone;
    if (following) element.scrollTop = element.scrollHeight;
    // What somebody reads stays where it is, as long as it is there.
    else if (lines > 0) element.scrollTop -= lines * rowHeight;
    top.current = element.scrollTop;
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = new ResizeObserver(() => setSeen({ top: element.scrollTop, height: element.clientHeight }));
    measure.observe(element);
    return () => measure.disconnect();
  }, []);

  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    const { scrollTop, clientHeight: height, scrollHeight } = element;
    setSeen({ top: scrollTop, height });
    // Only a person scrolls up; that the end is further away than before may be because more was printed.
    if (scrollTop + height >= scrollHeight - rowHeight) setFollowing(true);
    else if (scrollTop < top.current) setFollowing(false);
    top.current = scrollTop;
  };
  const showLine = (line: number) => {
    const element = box.current;
    if (!element) return;
    setFollowing(false);
    element.scrollTop = Math.max(0, line * rowHeight - element.clientHeight / 2);
  };
  const choose = (by: number) => {
    if (found.length === 0) return;
    const next = (chosen + by + found.length) % found.length;
    setChosen(next);
    showLine(found[next]?.line ?? 0);
  };

  const first = Math.max(0, Math.floor(seen.top / rowHeight) - spare);
  const last = Math.min(buffer.length, Math.ceil((seen.top + seen.height) / rowHeight) + spare);
  const rows = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
  const digits = String((buffer.firstNumber ?? 1) + buffer.length).length;
  return (
    <div class="log">
      <div class="tools">
        <search>
          <input
            type="search"
            aria-label={`Search the log of ${step}`}
            placeholder="Search"
            value={wanted}
            maxLength={200}
            onInput={(e) => {
              setWanted(e.currentTarget.value);
              setChosen(0);
            }}
            onKeyDown={(e) => {
              if (e.key === 'Enter') choose(e.shiftKey ? -1 : current && isSeen(current, seen) ? 1 : 0);
            }}
          />
          {wanted !== '' && (
            <>
              <span class="hits" role="status">
                {found.length === 0
                  ? 'nothing'
                  : `${Math.min(chosen, found.length - 1) + 1} of ${found.length}${found.length >= maxMatches ? '+' : ''}`}
              </span>
              <button type="button" aria-label="Previous match" onClick={() => choose(-1)} disabled={found.length === 0}>
                ↑
              </button>
              <button type="button" aria-label="Next match" onClick={() => choose(1)} disabled={found.length === 0}>
                ↓
              </button>
            </>
          )}
        </search>
        <span class="quiet" data-log={log.end ? 'ended' : log.link} role="status">
          {statusOf(log, following)}
        </span>
        {!following && (
          <button type="button" onClick={() => setFollowing(true)}>
            Jump to end
          </button>
        )}
        <a class="button" href={logPath(run, step, attempt)} download={`${run}-${step}-${attempt}.log`}>
          Download
        </a>
      </div>
      {buffer.dropped && (
        <p class="earlier">
          Earlier output is not shown here:{' '}
          <a href={logPath(run, step, attempt)} download={`${run}-${step}-${attempt}.log`}>
            download the whole log
          </a>
        </p>
      )}
      <section
        class="lines"
        style={{ '--rows': Math.max(4, buffer.length) }}
        ref={box}
        onScroll={onScroll}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable with the keyboard
        tabIndex={0}
        aria-label={`Log of ${step}`}
      >
        <div class="all" style={{ height: `${buffer.length * rowHeight}px`, '--digits': `${digits}ch` }}>
          <div class="drawn" style={{ transform: `translateY(${first * rowHeight}px)` }}>
            {rows.map((i) => {
              const line = buffer.line(i);
              return (
                line && (
                  <Row
                    key={i + gone}
                    line={line}
                    number={buffer.firstNumber === undefined ? undefined : buffer.firstNumber + i}
                    marks={found.filter((m) => m.line === i)}
                    current={current}
                  />
                )
              );
            })}
          </div>
        </div>
        {buffer.length === 0 && <p class="nothing">{log.end ? 'It has printed nothing.' : 'Nothing printed yet.'}</p>}
      </section>
    </div>
  );
}

const isSeen = (m: Match, seen: { top: number; height: number }): boolean =>
  m.line * rowHeight >= seen.top && (m.line + 1) * rowHeight <= seen.top + seen.height;

function statusOf({ end, link, problem, buffer }: Log, following: boolean): string {
  const lines = buffer.dropped ? 'its end' : count(buffer.length, 'line');
  if (end) return end.missing > 0 ? `ended; ${count(end.missing, 'byte')} are lost` : `ended, ${lines}`;
  if (problem !== undefined) return problem;
  if (link === 'lost') return 'connection lost; reconnecting';
  if (link === 'connecting') return 'connecting';
  return following ? 'live, following' : 'live';
}

function Row({
  line,
  number,
  marks,
  current,
}: {
  line: Line;
  number: number | undefined;
  marks: Match[];
  current: Match | undefined;
}) {
  const pieces = piecesOf(
    line.text,
    line.spans,
    marks.map((m) => ({ start: m.start, end: m.end, current: m === current })),
  );
  return (
    <div class="line">
      <span class="number" aria-hidden="true">
        {number}
      </span>
      <span class="text">
        {pieces.map(({ text, style, found }, i) =>
          style || found ? (
            // A line's pieces have no other name.
            <span key={i} class={`${style ? classesOf(style) : ''} ${found ?? ''}`.trim()} style={style ? coloursOf(style) : {}}>
              {text}
            </span>
          ) : (
            text
          ),
        )}
        {line.cut !== undefined && <em> … {line.cut.toLocaleString('en')} more characters in this line</em>}
      </span>
    </div>
  );
}

const classesOf = ({ fg, bg, bold, dim, italic, underline, inverse }: Style): string =>
  [
    typeof fg === 'number' && fg < 16 && `fg-${fg}`,
    typeof bg === 'number' && bg < 16 && `bg-${bg}`,
    ...[bold && 'bold', dim && 'dim', italic && 'italic', underline && 'underline', inverse && 'inverse'],
  ]
    .filter(Boolean)
    .join(' ');

function coloursOf({ fg, bg }: Style): Record<string, string> {
  const colour = (c: Style['fg']) => (typeof c === 'string' ? c : c !== undefined && c >= 16 ? paletteColour(c) : undefined);
  const [color, backgroundColor] = [colour(fg), colour(bg)];
  return { ...(color && { color }), ...(backgroundColor && { backgroundColor }) };
}

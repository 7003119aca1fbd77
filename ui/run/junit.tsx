import type { JUnitAnswer } from '../../protocol/artifact.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';
import { useAnswer } from '../news.ts';
import { count, plain } from '../words.ts';

/** How much of a failure's text is shown. */
const maxText = 8_000;

/** The tests that did not pass, from the reports that the steps have left. Nothing, while there are no reports. */
export function JUnit({ run }: { run: Run }) {
  const settled = run.at.reduce((n, s) => n + s.attempts.filter((a) => a.endedAtMs !== undefined).length, 0);
  // Asked again when another attempt has ended: the address stays the same, so the number tells.
  const { data } = useAnswer<JUnitAnswer>(
    settled > 0 ? `/api/runs/${run.id}/junit` : undefined,
    [],
    settled + Number(hasEnded(run)),
  );
  if (!data || data.files.length === 0) return null;
  const bad = data.failures + data.errors;
  return (
    <section>
      <h2>Tests</h2>
      <p class="quiet">
        {count(data.tests, 'test')}: {data.tests - bad - data.skipped} passed, {bad} failed, {data.skipped} skipped
      </p>
      {data.files.map((file) => (
        <div key={`${file.step}/${file.attempt}/${file.path}`}>
          {file.problem && (
            <p class="problem">
              {plain(file.path)} of {file.step}: {plain(file.problem)}
            </p>
          )}
          {file.failed.map((f, i) => (
            // Tests may share a name, and the list of a report never changes.
            <details class="failure" key={i}>
              <summary>
                <strong>{plain(f.name)}</strong> <span class="quiet">{plain(f.classname)}</span>
                {f.message && <div class="reason">{plain(f.message.slice(0, 300))}</div>}
              </summary>
              <pre>{(f.text || f.message).slice(0, maxText)}</pre>
            </details>
          ))}
          {file.more > 0 && (
            <p class="quiet">
              and {file.more} more in {plain(file.path)} of {file.step}
            </p>
          )}
        </div>
      ))}
    </section>
  );
}

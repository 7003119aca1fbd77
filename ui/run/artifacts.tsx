import type { ArtifactList } from '../../protocol/artifact.ts';
import { hasEnded, type Run } from '../../protocol/run.ts';
import { useAnswer } from '../news.ts';
import { bytes, count, plain } from '../words.ts';

const shownAtOnce = 500;

/** The files that the steps have left for keeping. Nothing, while there are none. */
export function Artifacts({ run }: { run: Run }) {
  const settled = run.at.reduce((n, s) => n + s.attempts.filter((a) => a.endedAtMs !== undefined).length, 0);
  const { data } = useAnswer<ArtifactList>(
    settled > 0 ? `/api/runs/${run.id}/artifacts` : undefined,
    [],
    settled + Number(hasEnded(run)),
  );
  if (!data || data.files.length + data.refusedCount === 0) return null;
  return (
    <section>
      <h2>Artifacts</h2>
      <ul class="artifacts">
        {data.files.slice(0, shownAtOnce).map((file) => (
          <li key={`${file.step}/${file.path}`}>
            <a href={addressOf(run.id, file)} target="_blank" rel="noopener noreferrer">
              {plain(file.path)}
            </a>
            <span class="quiet">
              {' '}
              {file.step}, {bytes(file.sizeBytes)}
            </span>
          </li>
        ))}
      </ul>
      {(data.truncated || data.files.length > shownAtOnce) && <p class="quiet">There are more than are listed here.</p>}
      {data.refused.length > 0 && (
        <details>
          <summary>{count(data.refusedCount, 'file')} not kept</summary>
          <ul>
            {data.refused.map((r) => (
              <li key={`${r.step}/${r.path}`}>
                {r.step}: {plain(r.path)}: {plain(r.why)}
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

const addressOf = (run: string, { step, path }: { step: string; path: string }): string =>
  `/api/runs/${run}/artifacts/${[step, ...path.split('/')].map(encodeURIComponent).join('/')}`;

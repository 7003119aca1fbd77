import { useEffect, useRef, useState } from 'preact/hooks';
import type { ToViewer } from '../../protocol/log.ts';
import { keepOpen, type Link } from '../socket.ts';
import { LogBuffer } from './buffer.ts';

/** Of a longer log that has ended only the end is fetched; the rest can be downloaded. */
const tailBytes = 8 * 1024 * 1024;

export type Log = {
  buffer: LogBuffer;
  /** Grows whenever the buffer has changed. */
  version: number;
  /** Lines that went from the front since the start. */
  gone: number;
  link: Link;
  end: { missing: number } | undefined;
  problem: string | undefined;
};

export const logPath = (run: string, step: string, attempt: number): string =>
  `/api/runs/${run}/steps/${encodeURIComponent(step)}/log?attempt=${attempt}`;

/**
 * The log of one attempt, followed until it ends.
 * @param totalBytes of an attempt that has ended
 */
export function useLog(run: string, step: string, attempt: number, totalBytes: number | undefined): Log {
  const buffer = useRef<LogBuffer>(null);
  buffer.current ??= new LogBuffer(totalBytes !== undefined && totalBytes > tailBytes ? totalBytes - tailBytes : 0);
  const held = buffer.current;
  const [state, setState] = useState<Omit<Log, 'buffer'>>({
    ...{ version: 0, gone: 0, link: 'connecting', end: undefined, problem: undefined },
  });
  useEffect(() => {
    let gone = 0;
    let frame: number | undefined;
    // A step may print faster than a page can be drawn.
    const show = () => {
      frame ??= requestAnimationFrame(() => {
        frame = undefined;
        setState((s) => ({ ...s, version: s.version + 1, gone }));
      });
    };
    const stop = keepOpen({
      url: () => `${logPath(run, step, attempt)}&offset=${held.offset}&follow=1`,
      bytes: (bytes) => {
        gone += held.push(bytes);
        show();
      },
      text: (message) => {
        const said = JSON.parse(message) as ToViewer;
        if (said.type === 'end') setState((s) => ({ ...s, end: { missing: said.missing }, problem: undefined }));
        if (said.type === 'error') setState((s) => ({ ...s, problem: said.message }));
      },
      link: (link) => setState((s) => ({ ...s, link })),
    });
    return () => {
      stop();
      if (frame !== undefined) cancelAnimationFrame(frame);
    };
  }, [run, step, attempt, held]);
  return { buffer: held, ...state };
}

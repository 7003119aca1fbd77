/** A line longer than this is handed on in pieces, so that output without a newline does not pile up. */
export const maxLineBytes = 64 * 1024;

/** `bytes` without the '\n'; `ended`: there was one. */
export type Line = { bytes: Buffer; ended: boolean };

/** Cuts bytes that arrive in any pieces into lines. */
export type LineCutter = {
  push(bytes: Uint8Array): Line[];
  /** What came after the last newline; undefined when nothing did. */
  end(): Line | undefined;
};

/** @param maxBytes a longer line counts as several */
export function lineCutter(maxBytes = maxLineBytes): LineCutter {
  let held: Buffer[] = [];
  let heldBytes = 0;
  const take = (ended: boolean): Line => {
    const bytes = held.length === 1 && held[0] ? held[0] : Buffer.concat(held);
    held = [];
    heldBytes = 0;
    return { bytes, ended };
  };
  const hold = (piece: Buffer, lines: Line[]): void => {
    for (let rest = piece; rest.length > 0; ) {
      const part = rest.subarray(0, maxBytes - heldBytes);
      held.push(part);
      heldBytes += part.length;
      rest = rest.subarray(part.length);
      if (rest.length > 0) lines.push(take(false));
    }
  };
  return {
    push(bytes) {
      const lines: Line[] = [];
      let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = rest.indexOf(0x0a); at >= 0; at = rest.indexOf(0x0a)) {
        hold(rest.subarray(0, at), lines);
        lines.push(take(true));
        rest = rest.subarray(at + 1);
      }
      // What is kept for later is copied: the caller may use its buffer again.
      hold(Buffer.from(rest), lines);
      return lines;
    },
    end: () => (heldBytes > 0 ? take(false) : undefined),
  };
}

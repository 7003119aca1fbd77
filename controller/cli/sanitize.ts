/**
 * Makes the output of a step safe to print on a terminal: text, newlines, tabs, carriage returns and colours (SGR) pass; every
 * other control goes: moving the cursor, titles and clipboard (OSC), device strings (DCS, APC, PM, SOS), C1, bells.
 * The result does not depend on how the bytes are cut into pieces.
 * @see ECMA-48, and "A parser for DEC's ANSI-compatible video terminals", vt100.net
 */
export type Sanitizer = {
  push(bytes: Uint8Array): string;
  /** What is still due: nothing of a sequence that never ended; the end of a colour that was left on. */
  end(): string;
};

const ESC = '\x1b';
/** Longest SGR parameters that pass. A real one has fewer than 40 characters. */
const maxParameters = 64;

type State =
  | 'text'
  /** after ESC */
  | 'escape'
  /** after ESC and an intermediate: one final byte follows */
  | 'charset'
  | 'csi'
  /** OSC, DCS, SOS, PM or APC: up to BEL or ST */
  | 'string';

/** @param colours false: colours go too */
export function sanitizer({ colours }: { colours: boolean }): Sanitizer {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let state: State = 'text';
  let parameters = '';
  let coloured = false;

  const sgr = (): string => {
    if (!colours || parameters.length > maxParameters || !/^[0-9;:]*$/.test(parameters)) return '';
    coloured = !/^0*$/.test(parameters);
    return `${ESC}[${parameters}m`;
  };

  /** One character in any state but 'text'. @returns what is printed, or 'again' to read it once more as text */
  const inSequence = (char: string, code: number): string | 'again' => {
    if (code === 0x18 || code === 0x1a) {
      state = 'text';
      return '';
    }
    switch (state) {
      case 'string':
        // ST is ESC and a backslash; any other sequence ends the string as well.
        if (code === 0x1b) return enter('escape');
        if (code === 0x07 || code === 0x9c) return finish('');
        // A string that nobody ends must not swallow the rest of the log.
        if (char === '\n') return abandon();
        return '';
      case 'escape':
        if (code === 0x1b) return '';
        if (char === '[') return enter('csi');
        if (char === ']' || char === 'P' || char === 'X' || char === '^' || char === '_') return enter('string');
        if (code >= 0x20 && code <= 0x2f) return enter('charset');
        return code >= 0x30 && code <= 0x7e ? finish('') : abandon();
      case 'charset':
        if (code === 0x1b) return enter('escape');
        if (code >= 0x20 && code <= 0x2f) return '';
        return code >= 0x30 && code <= 0x7e ? finish('') : abandon();
      default:
        if (code === 0x1b) return enter('escape');
        if (code >= 0x20 && code <= 0x3f) {
          if (parameters.length <= maxParameters) parameters += char;
          return '';
        }
        if (code >= 0x40 && code <= 0x7e) return finish(char === 'm' ? sgr() : '');
        return abandon();
    }
  };
  const enter = (next: State): string => {
    state = next;
    parameters = '';
    return '';
  };
  const finish = (text: string): string => {
    state = 'text';
    return text;
  };
  const abandon = (): 'again' => {
    state = 'text';
    return 'again';
  };

  const clean = (text: string): string => {
    let safe = '';
    let from = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (state !== 'text') {
        const shown = inSequence(text.charAt(i), code);
        from = i + 1;
        if (shown !== 'again') {
          safe += shown;
          continue;
        }
        from = i;
      }
      if (!isControl(code)) continue;
      safe += text.slice(from, i);
      from = i + 1;
      if (code === 0x1b) enter('escape');
      else if (code === 0x9b) enter('csi');
      else if (code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f)) enter('string');
    }
    return state === 'text' ? safe + text.slice(from) : safe;
  };

  return {
    push: (bytes) => clean(decoder.decode(bytes, { stream: true })),
    end: () => {
      const rest = clean(decoder.decode());
      return coloured ? `${rest}${ESC}[0m` : rest;
    },
  };
}

/** C0 except tab, newline and carriage return; DEL; C1. */
const isControl = (code: number): boolean =>
  (code < 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) || (code >= 0x7f && code <= 0x9f);

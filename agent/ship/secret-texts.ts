/** Shorter lines of a secret of several lines stand in too many innocent places (`{`, `---`). */
const minLineChars = 6;
/** Shorter pieces of base64 stand in too many innocent places. */
const minBase64Chars = 8;

/**
 * The byte sequences that give a secret away: itself without white space around it, each of its lines, and its base64, also where
 * it is a part of something longer that was encoded (as in `Authorization: Basic`).
 */
export function secretTexts(secrets: Iterable<string | Uint8Array>): Buffer[] {
  const texts = new Set<string>();
  for (const secret of secrets) {
    // One character per byte, so that texts can be compared and cut whatever their encoding is.
    const whole = Buffer.from(secret as Uint8Array).toString('latin1');
    const bare = trim(whole) || whole;
    texts.add(bare);
    const lines = bare.split(/\r\n|\n|\r/).map(trim);
    if (lines.length > 1) for (const line of lines) if (line.length >= minLineChars) texts.add(line);
    for (const text of [whole, bare]) for (const encoded of base64Texts(text)) texts.add(encoded);
  }
  texts.delete('');
  return [...texts].map((text) => Buffer.from(text, 'latin1'));
}

/** Only ASCII's white space: the byte of another one may be a part of a character. */
const trim = (text: string): string => text.replace(/^[\t\n\v\f\r ]+/, '').replace(/(?<![\t\n\v\f\r ])[\t\n\v\f\r ]+$/, '');

/**
 * Base64 of `text`, whole, and what it always looks like inside the base64 of something longer: that depends on where in a group of
 * three bytes it begins, and the characters that it shares with its neighbours are left out.
 */
function base64Texts(text: string): string[] {
  const bytes = Buffer.from(text, 'latin1');
  const within = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const shared = (before + bytes.length) % 3;
    return encoded.slice(before === 0 ? 0 : before + 1, shared === 0 ? encoded.length : encoded.length - 4 + shared);
  });
  const all = [bytes.toString('base64').replace(/=+$/, ''), ...within].filter((encoded) => encoded.length >= minBase64Chars);
  return [...all, ...all.map((encoded) => encoded.replaceAll('+', '-').replaceAll('/', '_'))];
}

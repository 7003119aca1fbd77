/** The parts of an image's name, with what Docker adds when it is not said. */
export type ImageName = {
  /** 'docker.io/library/golang' */
  name: string;
  tag?: string;
  /** 'sha256:...' */
  digest?: string;
};

/** Reads a name as Docker does: 'golang' is 'docker.io/library/golang'. Neither tag nor digest is made up. */
export function parseImage(image: string): ImageName {
  const [before = '', digest] = image.split('@', 2);
  const colon = before.indexOf(':', before.lastIndexOf('/') + 1);
  const path = colon === -1 ? before : before.slice(0, colon);
  return {
    name: withHost(path),
    ...(colon === -1 ? {} : { tag: before.slice(colon + 1) }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The first part is a host when it looks like one. */
function withHost(path: string): string {
  const slash = path.indexOf('/');
  const first = path.slice(0, Math.max(0, slash));
  if (first === 'localhost' || /[.:]/.test(first)) return path.replace(/^index\.docker\.io\//, 'docker.io/');
  return slash === -1 ? `docker.io/library/${path}` : `docker.io/${path}`;
}

/** What to ask the engine for: never without a tag or digest, which would mean all tags. */
export function pullName(image: string): string {
  const { tag, digest } = parseImage(image);
  return tag === undefined && digest === undefined ? `${image}:latest` : image;
}

/** Whether the name may mean another image tomorrow: ':latest', said or not. */
export function isLatest(image: string): boolean {
  const { tag = 'latest', digest } = parseImage(image);
  return digest === undefined && tag === 'latest';
}

/**
 * Whether an image is one of those that a pattern means. '*' stands for anything but '/', '**' for anything; a pattern without tag
 * means every tag. Both are read as Docker reads names, so 'golang' means Docker Hub's and nobody else's.
 */
export function imageMatches(image: string, pattern: string): boolean {
  const { name, tag, digest } = parseImage(image);
  if (pattern === '**') return true;
  const full = `${name}:${digest === undefined ? (tag ?? 'latest') : (tag ?? '')}${digest === undefined ? '' : `@${digest}`}`;
  const wanted = pattern.startsWith('*') ? pattern : withHost(pattern);
  return (
    globMatches(name, wanted) || globMatches(full, wanted) || (digest !== undefined && globMatches(`${name}@${digest}`, wanted))
  );
}

/** In time of at most text x pattern, whatever they are. */
export function globMatches(text: string, pattern: string): boolean {
  const tokens = pattern.match(/\*\*|./gsu) ?? [];
  /** reach[i]: the text so far fits the first i tokens. */
  let reach = [true, ...tokens.map(() => false)];
  const skipStars = (at: boolean[]) =>
    tokens.forEach((token, i) => {
      if (at[i] && (token === '*' || token === '**')) at[i + 1] = true;
    });
  skipStars(reach);
  for (const char of text) {
    const next = reach.map(() => false);
    tokens.forEach((token, i) => {
      if (!reach[i]) return;
      if (token === '**' || (token === '*' && char !== '/')) next[i] = true;
      else if (token === char) next[i + 1] = true;
    });
    skipStars(next);
    reach = next;
  }
  return reach[tokens.length] ?? false;
}

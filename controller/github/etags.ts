/** An answer as GitHub gave it, and the mark by which it says whether it is still the same. */
export type Known = { etag: string; data: unknown; sizeBytes: number };

/** Answers that GitHub need not send again; those not asked for longest go first when there is no room. In memory. */
export class ETags {
  readonly #known = new Map<string, Known>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): Known | undefined {
    const known = this.#known.get(key);
    if (!known) return undefined;
    this.#known.delete(key);
    this.#known.set(key, known);
    return known;
  }

  put(key: string, known: Known): void {
    this.#drop(key);
    if (known.sizeBytes > this.#maxBytes / 4) return;
    this.#known.set(key, known);
    this.#bytes += known.sizeBytes;
    for (const oldest of this.#known.keys()) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#known.get(key)?.sizeBytes ?? 0;
    this.#known.delete(key);
  }
}

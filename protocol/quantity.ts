/** What the suffixes of Kubernetes' quantities multiply by. */
const suffixes: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/**
 * The number that a quantity of Kubernetes means: '512Mi', '1.5', '500m', '1e9'. Undefined when it is none, or not above 0.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
 */
export function parseQuantity(text: string | number): number | undefined {
  const [, digits, exponent, suffix] =
    /^\+?([0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE]([+-]?[0-9]{1,2})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$/.exec(
      String(text),
    ) ?? [];
  if (digits === undefined) return undefined;
  const value =
    exponent === undefined ? Number(digits) * (suffixes[suffix ?? ''] ?? Number.NaN) : Number(`${digits}e${exponent}`);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

/** '512Mi': in the largest binary unit that divides it. */
export function bytesText(bytes: number): string {
  const unit = (['Ti', 'Gi', 'Mi', 'Ki'] as const).find((name) => bytes > 0 && bytes % (suffixes[name] ?? 1) === 0);
  return unit ? `${bytes / (suffixes[unit] ?? 1)}${unit}` : `${bytes} bytes`;
}

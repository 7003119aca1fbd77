/**
 * Whether `version` ('2.10.27', also with a suffix) is `least` or newer. A pre-release counts as its release.
 * @param least three numbers, as '2.10.0'
 */
export function versionAtLeast(version: string, least: string): boolean {
  const [have, want] = [numbers(version), numbers(least)];
  for (let i = 0; i < 3; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** The first three numbers in a text such as 'nats-server: v2.9.10'. */
const numbers = (text: string): number[] => (/(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);

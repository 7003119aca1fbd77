/**
 * Fields of log lines whose values are never written. Nothing should be logged under these names; this is for the day when something is.
 * In the syntax of pino's `redact`.
 */
export const secretFields: readonly string[] = [
  'token',
  'joinToken',
  'adminToken',
  'metricsToken',
  'seed',
  'curveSeed',
  'farmKey',
  'secrets',
  'authorization',
  'cookie',
].flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** Every error that leaves a process, by its code: facts in, one sentence out that says what was wrong, where, and what to do. */
export const errors = {
  // settings
  BAD_SETTINGS: (d: { problems: string[] }) => d.problems.join('\n'),
  DATA_DIR_IN_USE: (d: { dir: string; pid: number }) =>
    `${d.dir} is in use by process ${d.pid}; stop it, or choose another directory with --data`,
  NO_NATS_SERVER: (d: { hint: string }) => `no nats-server was found; ${d.hint}`,
  NATS_SERVER_FAILED: (d: { detail: string }) => `nats-server did not start: ${d.detail}`,
  NATS_TOO_OLD: (d: { version: string; need: string; why: string }) =>
    `nats-server ${d.version} is too old here: ${d.why}; install ${d.need} or newer`,
  NATS_UNREACHABLE: (d: { url: string; detail: string }) =>
    `cannot reach NATS at ${d.url} (${d.detail}); is nats-server running, and are the credentials those of this farm?`,

  // HTTP, to whoever calls
  UNAUTHORIZED: (d: { need: string }) => `not logged in: ${d.need}`,
  FORBIDDEN: (d: { what: string }) => `not allowed: ${d.what}`,
  BAD_HOST: (d: { host: string }) => `this farm does not answer for host '${d.host}'; add it with --host`,
  BAD_ORIGIN: (d: { origin: string }) => `requests from pages of ${d.origin} are refused`,
  NOT_FOUND: (d: { what: string }) => `there is no ${d.what}`,
  METHOD_NOT_ALLOWED: (d: { method: string; allowed: string }) => `${d.method} is not possible here; use ${d.allowed}`,
  BAD_REQUEST: (d: { detail: string }) => d.detail,
  BAD_CONTENT_TYPE: (d: { got: string; want: string }) =>
    `content type '${d.got}' is not accepted; send ${d.want} (GitHub: choose it in the webhook's settings)`,
  BODY_TOO_LARGE: (d: { maxBytes: number }) => `the body is larger than ${d.maxBytes} bytes`,
  BAD_HEADER: (d: { header: string; detail: string }) => `header ${d.header}: ${d.detail}`,
  BAD_SIGNATURE: (_: object) => "X-Hub-Signature-256 does not match the body; the webhook's secret must be one of the farm's",
  NO_WEBHOOK_SECRET: (_: object) =>
    'this farm has no webhook secret, so it takes no webhooks; start it with --webhook-secret-file',
  UNAVAILABLE: (d: { detail: string; afterS: number }) => `${d.detail}; try again in ${d.afterS} s`,
  TOO_MANY_REQUESTS: (d: { what: string; afterS: number }) => `too many ${d.what} from this address; try again in ${d.afterS} s`,
  REFUSED: (d: { why: string }) => `refused: ${d.why}`,
  INTERNAL: (d: { request: string }) => `a fault of the farm itself; the controller's log tells more under request ${d.request}`,

  // logs
  LOG_REVOKED: (d: { run: string; step: string; attempt: number }) =>
    `run ${d.run}, step '${d.step}': attempt ${d.attempt} is not this agent's any more; its log is refused`,
  LOG_UNKNOWN: (d: { run: string; step: string; attempt: number }) =>
    `run ${d.run}, step '${d.step}': attempt ${d.attempt} is not known here`,
  LOG_TOKEN: (d: { run: string; step: string }) => `run ${d.run}, step '${d.step}': the token is not that of this attempt`,
  LOG_GAP: (d: { offset: number; want: number }) => `chunk at ${d.offset} does not follow ${d.want}`,
  LOG_TOO_LONG: (d: { total: number }) => `the final notice says ${d.total} bytes; more is refused`,

  // artifacts
  ARTIFACT_TOKEN: (d: { run: string; step: string }) => `run ${d.run}, step '${d.step}': the token is not that of this attempt`,
  ARTIFACT_REVOKED: (d: { run: string; step: string; attempt: number }) =>
    `run ${d.run}, step '${d.step}': attempt ${d.attempt} is over or with another agent; its artifacts are refused`,
  BAD_ARTIFACT: (d: { path: string; why: string }) => `artifact '${d.path}' is refused: ${d.why}`,
  BAD_MANIFEST: (d: { why: string }) => `the list of artifacts is refused: ${d.why}`,

  // store
  WRITE_REFUSED: (d: { seq: number }) => `RUNS was written by another leader after sequence ${d.seq}`,
  WRITE_UNKNOWN: (d: { seq: number; detail: string }) => `it is not known whether record ${d.seq} was stored (${d.detail})`,
  STREAM_UNUSABLE: (d: { stream: string; detail: string }) => `stream ${d.stream} cannot be used: ${d.detail}`,
  TASK_NOT_PUBLISHED: (d: { subject: string; detail: string }) => `${d.subject} was not published: ${d.detail}`,
  INDEX_DAMAGED: (d: { file: string; detail: string }) =>
    `${d.file} is damaged (${d.detail}); it was deleted and is built again from the stored events`,
  BAD_OBJECT_KEY: (d: { key: string }) => `'${d.key}' cannot be the key of an object`,

  // GitHub
  GITHUB_REFUSED: (d: { what: string; status: number; detail: string }) => `GitHub refused ${d.what} (${d.status}): ${d.detail}`,
  GITHUB_AWAY: (d: { detail: string; afterS: number }) =>
    `GitHub did not take it (${d.detail}); the next try is in ${d.afterS} s`,

  // agent
  JOIN_REFUSED: (d: { url: string; status: number; detail: string }) => `${d.url} refused this agent (${d.status}): ${d.detail}`,
  BAD_SECRET: (d: { name: string; detail: string }) => `secret '${d.name}': ${d.detail}`,
  BAD_IDENTITY: (d: { file: string }) => `${d.file} does not hold a key of an agent; put it back, or remove it and join again`,
  NO_STEP_USER: (d: { name: string }) => `there is no user '${d.name}' to run steps as; create it, or name another`,
  NO_DOCKER: (d: { detail: string }) =>
    `the Docker Engine does not answer (${d.detail}); start it, say with DOCKER_HOST where it is, or choose another --executor`,
  NFS_UNUSABLE: (d: { url: string; detail: string }) => `the shared storage ${d.url} cannot be used: ${d.detail}`,
  SHARED_WORKSPACE: (d: { id: string; detail: string }) => `shared workspace ${d.id}: ${d.detail}`,
  BAD_WORKSPACE: (d: { id: string }) => `'${d.id}' does not name a workspace`,
  JOURNAL_BROKEN: (d: { file: string; detail: string }) =>
    `${d.file} cannot be written (${d.detail}), so this agent can take nothing new; free the disk and start it again`,

  // command line
  BAD_USAGE: (d: { detail: string }) => d.detail,
  NOT_STARTED: (d: { job: string; reason: string }) => `job '${d.job}' was not started: ${d.reason || 'the farm gave no reason'}`,
  FARM_UNREACHABLE: (d: { urls: string[]; detail: string }) =>
    `no controller answers at ${d.urls.join(' or ')} (${d.detail}); is the farm running ('thresh up'), and is --url or THRESH_URL right?`,
  ANSWER_LOST: (d: { url: string; detail: string; look: string }) =>
    `${d.url} was lost before it answered (${d.detail}), so it is not known whether it did what was asked; ${d.look}`,
  BAD_ANSWER: (d: { url: string; detail: string }) =>
    `${d.url} does not answer as a controller of this version does (${d.detail}); check --url, and that both versions fit`,
} as const;

export type ErrorCode = keyof typeof errors;
export type Facts<C extends ErrorCode> = Parameters<(typeof errors)[C]>[0];

/** An error whose sentence is made from the catalogue, so that it can be matched by `code` and shown as it is. */
export class FarmError<C extends ErrorCode = ErrorCode> extends Error {
  override name = 'FarmError';
  readonly code: C;
  readonly facts: Facts<C>;
  constructor(code: C, facts: Facts<C>, options?: ErrorOptions) {
    super((errors[code] as (facts: Facts<C>) => string)(facts), options);
    this.code = code;
    this.facts = facts;
  }
}

/** Whether `error` is the farm's, with this code. */
export const isFarmError = <C extends ErrorCode>(error: unknown, code: C): error is FarmError<C> =>
  error instanceof FarmError && error.code === code;

/** The sentence of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

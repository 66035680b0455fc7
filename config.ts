import { availableParallelism, homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { agentPlaceLabels } from './domain/agent-metrics.ts';
import { DomainError } from './domain/errors.ts';
import { type LeaseTimes, defaultLease, leaseFaults } from './domain/lease.ts';
import { type QuietHoursSettings, defaultQuietHours, parseQuietHours } from './domain/quiet-hours.ts';

/**
 * The only reader of `process.env`. Settings that the reference product has keep their `CODER_*` names;
 * ours start with `BERTH_`, Temporal's own with `TEMPORAL_`. Throws one error that names every bad variable.
 */
const flag = (fallback: boolean) =>
  z
    .enum(['true', 'false', '1', '0'])
    .optional()
    .transform((value) => (value === undefined ? fallback : value === 'true' || value === '1'));
const integer = (fallback: number, min = 0) => z.coerce.number().int().min(min).default(fallback);
const list = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  );
/** Go-style durations (`24h`, `10m`, `90s`, `500ms`, also `1h30m`) or a plain number of milliseconds. */
export function parseDurationMs(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text)
    throw new Error(`not a duration: ${text} (use e.g. 24h, 10m, 90s)`);
  return parts.reduce((sum, part) => sum + Number(part[1]) * unitMs[part[2] as keyof typeof unitMs], 0);
}
const duration = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, ctx) => {
      try {
        return parseDurationMs(text);
      } catch (err) {
        ctx.addIssue({ code: 'custom', message: (err as Error).message });
        return z.NEVER;
      }
    });

const describeInvalid = (err: unknown): string =>
  err instanceof DomainError ? err.validations.map(({ detail }) => detail).join('; ') : String(err);

const environment = z.object({
  CODER_ACCESS_URL: z.url().optional(),
  CODER_HTTP_ADDRESS: z
    .string()
    .regex(/^.+:\d+$/, 'must be host:port')
    .default('127.0.0.1:3000'),
  CODER_PG_CONNECTION_URL: z.string().optional(),
  BERTH_PG_POOL_SIZE: integer(20, 2),
  /** Connections of a control worker; at most half of them act on pools of prebuilds at once (spec/03 §9). */
  CODER_PG_CONN_MAX_OPEN: integer(10, 1),
  TEMPORAL_ADDRESS: z.string().optional(),
  TEMPORAL_NAMESPACE: z.string().default('default'),
  TEMPORAL_API_KEY: z.string().optional(),
  TEMPORAL_TLS_CERT_PATH: z.string().optional(),
  TEMPORAL_TLS_KEY_PATH: z.string().optional(),
  TEMPORAL_TLS_CA_PATH: z.string().optional(),
  TEMPORAL_UI_URL: z.url().optional(),
  TEMPORAL_CLI_PATH: z.string().optional(),
  /** Directory of everything that `npm run up` keeps: database, Temporal file, work roots, credentials. */
  BERTH_DATA_DIR: z.string().default('.berth'),
  BERTH_TOOLS_DIR: z.string().default('.tools'),
  /** Tools that were built or downloaded once are shared by all clones of this user. */
  BERTH_TOOLS_CACHE: z.string().optional(),
  BERTH_TERRAFORM_PATH: z.string().optional(),
  /** Terraform CLI configuration file of every run; an inherited TF_CLI_CONFIG_FILE never applies. */
  BERTH_TF_CLI_CONFIG: z.string().optional(),
  /** Whether Terraform may fetch providers that the mirror lacks from their registries (spec/02 §5.2). */
  BERTH_PROVIDER_NETWORK: flag(false),
  /** Ports that `npm run up` prefers; a taken one is replaced by a free one. */
  BERTH_PG_PORT: integer(5433, 1),
  BERTH_TEMPORAL_PORT: integer(7233, 1),
  BERTH_TEMPORAL_UI_PORT: integer(8233, 1),
  BERTH_WORK_ROOT: z.string().optional(),
  BERTH_HOST_NAME: z.string().optional(),
  /** Metrics of the API process; workers are given theirs by BERTH_METRICS_ADDRESS. */
  CODER_PROMETHEUS_ENABLE: flag(true),
  CODER_PROMETHEUS_ADDRESS: z
    .string()
    .regex(/^.+:\d+$/, 'must be host:port')
    .default('127.0.0.1:2112'),
  BERTH_METRICS_ADDRESS: z.string().optional(),
  /** Metrics that agents report, with the names of users and workspaces as labels (spec/08 §1, families marked U). */
  CODER_PROMETHEUS_COLLECT_AGENT_STATS: flag(false),
  /** The labels they keep; agents whose labels are equal are summed. */
  CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY: list
    .transform((names) => (names.length === 0 ? [...agentPlaceLabels] : names))
    .pipe(z.array(z.enum(agentPlaceLabels))),
  BERTH_WORKFLOW_BUNDLE: z.string().optional(),
  CODER_PROVISIONER_DAEMONS: integer(availableParallelism(), 1),
  CODER_PROVISIONERD_TAGS: z.string().default(''),
  CODER_PROVISIONER_FORCE_CANCEL_INTERVAL: duration('10m'),
  /** A build, import or dry run that takes longer is stopped and fails (spec/04 §11). */
  CODER_BUILD_TIMEOUT: duration('24h').refine(
    (ms) => ms > 0 && ms <= 7 * 24 * 3_600_000,
    'must be between 1ms and 168h',
  ),
  /** Logs of agents outside their workspace's latest build that were not seen for so long are deleted; 0 = never (spec/05 §8). */
  CODER_AGENT_LOG_RETENTION: duration('168h'),
  /** How long a stop or delete waits for the stop scripts of connected agents; 0 = not at all (spec/05 §6). */
  CODER_AGENT_DRAIN_TIMEOUT: duration('60s').refine((ms) => ms <= 600_000, 'must be at most 10m'),
  /** Where the users of agents that do not connect find help, unless the template says it. */
  CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL: z.url().max(2_048).or(z.literal('')).default(''),
  /** The lease of a job (domain/lease.ts); the same on all provisioners of a deployment. */
  BERTH_LEASE_RENEWAL: duration(`${defaultLease.renewEveryMs}ms`),
  BERTH_LEASE_DURATION: duration(`${defaultLease.durationMs}ms`),
  BERTH_LEASE_KILL_GRACE: duration(`${defaultLease.killGraceMs}ms`),
  BERTH_LEASE_TAKE_OVER: duration(`${defaultLease.takeOverAfterMs}ms`),
  /** Bytes that must be free on the work root's disk: no job begins below, and a running Terraform is asked to stop. */
  BERTH_MIN_FREE_DISK: integer(100 * 1024 * 1024),
  /** Processes at once of one Terraform and all that it starts; 0 = any number. */
  BERTH_TERRAFORM_MAX_PROCESSES: integer(2_000),
  BERTH_TERRAFORM_MAX_OPEN_FILES: integer(16_384, 64),
  /** Variables of the worker's environment that templates may see besides the usual ones; `PREFIX_*` and `*` are allowed. */
  BERTH_TERRAFORM_ENV: list,
  /** A delegated cgroup (v2) directory without processes of its own: each Terraform gets a child of it. */
  BERTH_CGROUP_ROOT: z
    .string()
    .regex(/^\/[^'"\n]*$/, 'must be an absolute path')
    .optional(),
  /** Memory of one Terraform and all that it starts, in bytes; needs BERTH_CGROUP_ROOT. 0 = no limit. */
  BERTH_TERRAFORM_MAX_MEMORY: integer(0),
  CODER_PENDING_JOB_TIMEOUT: duration('30m'),
  /** Time between two writes of when workspaces were used (spec/04 §8). */
  BERTH_USAGE_FLUSH_INTERVAL: duration('60s').refine((ms) => ms >= 1_000, 'must be at least 1s'),
  /** When required stops happen for users who have set no quiet hours of their own (spec/04 §6.2). */
  CODER_QUIET_HOURS_DEFAULT_SCHEDULE: z
    .string()
    .default(defaultQuietHours)
    .superRefine((text, ctx) => {
      try {
        parseQuietHours(text);
      } catch (err) {
        ctx.addIssue({ code: 'custom', message: describeInvalid(err) });
      }
    }),
  /** false: quiet hours that users have set are not used. */
  CODER_ALLOW_CUSTOM_QUIET_HOURS: flag(true),
  /** Transactions of the lifecycle at once, at most half of CODER_PG_CONN_MAX_OPEN (spec/04 §2.1). */
  CODER_LIFECYCLE_CONCURRENCY: integer(16, 1).pipe(z.number().max(64)),
  /** Builds that one look at the clock may insert; what is left comes a minute later, oldest first. */
  CODER_LIFECYCLE_MAX_PER_TICK: integer(5_000, 1),
  /** Automatic starts that are later than this are dropped; 0 = they are made up for, however late. */
  CODER_AUTOSTART_MAX_LATENESS: duration('0s'),
  /** Time between two looks at all pools (a Temporal schedule: whole seconds); 0 or less = 5m. */
  CODER_WORKSPACE_PREBUILDS_RECONCILIATION_INTERVAL: z
    .preprocess((text) => (typeof text === 'string' && /^-\d/.test(text) ? '0' : text), duration('1m'))
    .transform((ms) => (ms <= 0 ? 300_000 : Math.max(ms, 1_000))),
  /** How long each failed build of a pool holds the next ones back (spec/03 §7.2). */
  CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_INTERVAL: duration('1m'),
  /** Failures that are older hold nothing back. */
  CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_LOOKBACK_PERIOD: duration('1h'),
  /** So many failures in a row and a pool is given up until somebody acts; 0 = never (spec/03 §7.3). */
  CODER_WORKSPACE_PREBUILDS_FAILURE_HARD_LIMIT: integer(3),
  /** Failed prebuilds are deleted after so long; 0 = kept. */
  CODER_WORKSPACE_PREBUILDS_FAILED_RETENTION: duration('0'),
  /** New prebuilds of one look at all pools; 0 = any number. */
  CODER_WORKSPACE_PREBUILDS_MAX_CREATES_PER_CYCLE: integer(0),
  /** Builds of pools that wait or run at once; 0 = any number, not set = half of the slots of all live workers, at least 1. */
  CODER_WORKSPACE_PREBUILDS_MAX_IN_FLIGHT: z.coerce.number().int().min(0).optional(),
  /** Whether builds take their daily cost out of their owners' budgets (spec/04 §10); the same for all processes. */
  CODER_QUOTA_ENABLED: flag(true),
  CODER_SESSION_DURATION: duration('24h'),
  CODER_DISABLE_SESSION_EXPIRY_REFRESH: flag(false),
  CODER_DEFAULT_TOKEN_LIFETIME: duration('168h'),
  CODER_MAX_TOKEN_LIFETIME: duration('8760h'),
  CODER_MAX_ADMIN_TOKEN_LIFETIME: duration('168h'),
  CODER_API_RATE_LIMIT: z.coerce.number().int().min(-1).default(512),
  CODER_ALLOW_WORKSPACE_RENAMES: flag(false),
  CODER_DISABLE_OWNER_WORKSPACE_ACCESS: flag(false),
  CODER_DISABLE_WORKSPACE_SHARING: flag(false),
  CODER_TEMPLATE_PATCH_ZERO_FILL: flag(false),
  CODER_SECURE_AUTH_COOKIE: flag(false),
  CODER_STRICT_TRANSPORT_SECURITY: integer(0),
  CODER_PROXY_TRUSTED_ORIGINS: list,
  CODER_PROXY_TRUSTED_HEADERS: list,
  CODER_EXPERIMENTS: list,
  CODER_EXTERNAL_AUTH_IDS: list,
  CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: list,
  /** PEM files whose certificates sign the identity documents of AWS machines; none = they cannot sign in that way. */
  BERTH_AWS_IDENTITY_CERTIFICATES: list,
  /** PEM files of the authorities, also intermediate ones, that issue the certificates of Azure's metadata service. */
  BERTH_AZURE_IDENTITY_CERTIFICATES: list,
  /** Keys (JWKS) that sign the identity tokens of Google's machines. */
  BERTH_GOOGLE_IDENTITY_KEYS_URL: z.url().default('https://www.googleapis.com/oauth2/v3/certs'),
  BERTH_FIRST_USER_EMAIL: z.string().optional(),
  BERTH_FIRST_USER_USERNAME: z.string().default('admin'),
  BERTH_FIRST_USER_PASSWORD: z.string().optional(),
  BERTH_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  PATH: z.string().default(''),
  HOME: z.string().default(''),
  XDG_CACHE_HOME: z.string().optional(),
  /** Set by CI systems to any text. */
  CI: z.string().optional(),
});

export type Config = ReturnType<typeof loadConfig>;

/** Reads and validates the environment. `cwd` anchors relative directories. Throws Error listing each bad variable. */
export function loadConfig(env: NodeJS.ProcessEnv = process.env, cwd: string = process.cwd()) {
  // An empty variable means "not set": `FOO= npm run up` must not be an error of type.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = environment.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
    throw new Error(`Bad configuration:\n${lines.join('\n')}`);
  }
  const values = parsed.data;
  const lease: LeaseTimes = {
    renewEveryMs: values.BERTH_LEASE_RENEWAL,
    durationMs: values.BERTH_LEASE_DURATION,
    killGraceMs: values.BERTH_LEASE_KILL_GRACE,
    takeOverAfterMs: values.BERTH_LEASE_TAKE_OVER,
  };
  const faults = leaseFaults(lease);
  if (faults.length > 0)
    throw new Error(`Bad configuration:\n${faults.map((fault) => `  BERTH_LEASE_*: ${fault}`).join('\n')}`);
  const dataDir = resolve(cwd, values.BERTH_DATA_DIR);
  const home = values.HOME === '' ? homedir() : values.HOME;
  return {
    ...values,
    lease,
    BERTH_DATA_DIR: dataDir,
    BERTH_TOOLS_DIR: resolve(cwd, values.BERTH_TOOLS_DIR),
    BERTH_TOOLS_CACHE:
      values.BERTH_TOOLS_CACHE ?? join(values.XDG_CACHE_HOME ?? join(home, '.cache'), 'berth', 'tools'),
    BERTH_WORK_ROOT: resolve(values.BERTH_WORK_ROOT ?? `${dataDir}/work`),
    BERTH_HOST_NAME: values.BERTH_HOST_NAME ?? hostname(),
    CODER_ACCESS_URL: values.CODER_ACCESS_URL ?? `http://${values.CODER_HTTP_ADDRESS}`,
  };
}

/** The worker's environment as Terraform may see it (spec/02 §3.1 "Base environment"); filtered by terraform/environment.ts. */
export const workerEnvironment = (): NodeJS.ProcessEnv => process.env;

/** What the command line reads from the environment; the server's settings do not concern it. An empty variable is not set. */
export function loadCliConfig(env: NodeJS.ProcessEnv = process.env) {
  const given = (...names: string[]): string | undefined =>
    names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
  return {
    url: given('BERTH_URL', 'CODER_URL'),
    token: given('BERTH_SESSION_TOKEN', 'CODER_SESSION_TOKEN'),
    configDir: given('BERTH_CONFIG_DIR'),
    dataDir: given('BERTH_DATA_DIR') ?? '.berth',
    userConfigHome: given('XDG_CONFIG_HOME') ?? join(given('HOME') ?? homedir(), '.config'),
    /** NO_COLOR counts when it is not empty (no-color.org). */
    noColor: given('NO_COLOR') !== undefined || env['TERM'] === 'dumb',
    ci: given('CI') !== undefined,
  };
}
export type CliConfig = ReturnType<typeof loadCliConfig>;

export const quietHoursSettings = (config: Config): QuietHoursSettings => ({
  defaultSchedule: config.CODER_QUIET_HOURS_DEFAULT_SCHEDULE,
  allowCustom: config.CODER_ALLOW_CUSTOM_QUIET_HOURS,
});

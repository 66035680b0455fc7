import type { FieldError } from './errors.ts';

/**
 * What a user's secret may be. A value reaches the owner's own agents as an environment variable, a file, or both.
 * Source: spec/07 §9, which is also the authority over the limits.
 */
export interface SecretFields {
  readonly name: string;
  readonly value: string;
  readonly description: string;
  /** Empty = not injected as a variable. */
  readonly envName: string;
  /** Empty = not injected as a file. */
  readonly filePath: string;
  readonly enabled: boolean;
}

/** Per user where it says so; a trigger on the table holds those (migration 0003). Bytes are those of the plain value. */
export const secretLimits = {
  nameBytes: 256,
  valueBytes: 24_576,
  /** Ours: a description is one line in a list. */
  descriptionBytes: 1_024,
  envNameBytes: 256,
  filePathBytes: 4_096,
  secretsPerUser: 50,
  bytesPerUser: 204_800,
  envBytesPerUser: 24_576,
} as const;

const reservedNames = new Set(
  `PATH HOME SHELL USER LOGNAME PWD OLDPWD LANG TERM IFS CDPATH ENV BASH_ENV TMPDIR TMP TEMP HOSTNAME SSH_AUTH_SOCK
  SSH_CLIENT SSH_CONNECTION SSH_TTY EDITOR VISUAL PAGER VSCODE_PROXY_URI CS_DISABLE_GETTING_STARTED_OVERRIDE
  XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME XDG_STATE_HOME CODER`.split(/\s+/),
);
const reservedPrefixes = ['CODER_', 'GIT_', 'LC_', 'LD_', 'DYLD_'];

/**
 * Names that decide how the agent or a shell works, in any case. Refused when a secret is written, and skipped when one is
 * injected: the list may grow after a secret was stored.
 */
export function isReservedEnvName(name: string): boolean {
  const upper = name.toUpperCase();
  return reservedNames.has(upper) || reservedPrefixes.some((prefix) => upper.startsWith(prefix));
}

const byteLength = (text: string): number => Buffer.byteLength(text, 'utf8');
/** PostgreSQL refuses the first; the second would be stored as another text than was given. */
const unstorable = (text: string): string | undefined => {
  if (text.includes('\0')) return 'must not contain a NUL';
  return /\p{Surrogate}/u.test(text) ? 'is not valid Unicode' : undefined;
};
const tooLong = (text: string, maximum: number): string | undefined =>
  byteLength(text) > maximum ? `must have at most ${maximum} bytes` : undefined;

function nameProblem(name: string): string | undefined {
  if (name === '') return 'must not be empty';
  if (name.trim() !== name) return 'must not start or end with a space';
  if (/[/?#]/.test(name)) return 'must not contain /, ? or #';
  // Clients resolve these before they ask: the secret could never be addressed again.
  if (name === '.' || name === '..') return 'must not be . or ..';
  return unstorable(name) ?? tooLong(name, secretLimits.nameBytes);
}

const valueProblem = (value: string): string | undefined =>
  value === '' ? 'must not be empty' : (unstorable(value) ?? tooLong(value, secretLimits.valueBytes));

function envNameProblem(name: string): string | undefined {
  if (name === '') return undefined;
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return 'may only have letters, digits and _, and no digit at the start';
  return (
    tooLong(name, secretLimits.envNameBytes) ?? (isReservedEnvName(name) ? `"${name}" is a reserved name` : undefined)
  );
}

function filePathProblem(path: string): string | undefined {
  if (path === '') return undefined;
  if (!path.startsWith('~/') && !path.startsWith('/')) return 'must start with ~/ or /';
  const problem = unstorable(path) ?? tooLong(path, secretLimits.filePathBytes);
  if (problem !== undefined) return problem;
  // A backslash separates too where the agent runs on Windows.
  if (path.split(/[\\/]/).includes('..')) return 'must not contain ..';
  const normal = normalizeSecretPath(path);
  return normal === '/' || normal === '~' ? 'must name a file' : undefined;
}

/** One spelling per file, so that two secrets cannot mean the same one: no `.` and no empty segments. */
export function normalizeSecretPath(path: string): string {
  if (path === '') return '';
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  return path.startsWith('/') ? `/${segments.join('/')}` : segments.join('/');
}

/** What is wrong with the given fields, under their wire names; absent ones are not looked at. */
export function secretProblems(secret: Partial<SecretFields>): FieldError[] {
  const checks: readonly (readonly [field: string, value: string | undefined, (text: string) => string | undefined])[] =
    [
      ['name', secret.name, nameProblem],
      ['value', secret.value, valueProblem],
      ['description', secret.description, (text) => unstorable(text) ?? tooLong(text, secretLimits.descriptionBytes)],
      ['env_name', secret.envName, envNameProblem],
      ['file_path', secret.filePath, filePathProblem],
    ];
  return checks.flatMap(([field, value, problemOf]) => {
    const detail = value === undefined ? undefined : problemOf(value);
    return detail === undefined ? [] : [{ field, detail }];
  });
}

/** An enabled secret must go somewhere; a disabled one is kept for later. */
export const targetProblems = (secret: Pick<SecretFields, 'enabled' | 'envName' | 'filePath'>): FieldError[] =>
  secret.enabled && secret.envName === '' && secret.filePath === ''
    ? [{ field: 'env_name', detail: 'an enabled secret needs an env_name or a file_path' }]
    : [];

export type SecretKey = Pick<SecretFields, 'name' | 'envName' | 'filePath'>;

/** Fields of `secret` that another secret of the same user has already, under their wire names. */
export function secretConflicts(secret: Partial<SecretKey>, others: readonly SecretKey[]): FieldError[] {
  const clash = (field: string, key: keyof SecretKey): FieldError[] =>
    secret[key] !== undefined && secret[key] !== '' && others.some((other) => other[key] === secret[key])
      ? [{ field, detail: 'is already taken by another secret' }]
      : [];
  return [...clash('name', 'name'), ...clash('env_name', 'envName'), ...clash('file_path', 'filePath')];
}

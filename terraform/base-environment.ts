/** Settings of the platform itself: database, Temporal, keys. No template may read them. */
const deniedPrefixes = ['CODER_', 'BERTH_', 'TEMPORAL_', 'PG', 'npm_'];
const deniedNames = new Set(['DATABASE_URL', 'NODE_OPTIONS', 'NODE_ENV', 'NODE_CHANNEL_FD']);
/** They would move Terraform's directory, workspace or answers away from what a run expects. */
const overridden = new Set([
  'TF_DATA_DIR',
  'TF_WORKSPACE',
  'TF_INPUT',
  'TF_LOG',
  'TF_LOG_PATH',
  'TF_IN_AUTOMATION',
  'TF_CLI_CONFIG_FILE',
]);
/** May be shown with their values. */
const harmless = new Set([
  'TF_LOG_CORE',
  'TF_LOG_PROVIDER',
  'TF_PLUGIN_CACHE_DIR',
  'TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE',
  'TF_REGISTRY_DISCOVERY_RETRY',
  'TF_REGISTRY_CLIENT_TIMEOUT',
  'TF_STATE_PERSIST_INTERVAL',
  'TF_APPEND_USER_AGENT',
]);

export interface BaseEnvironment {
  readonly env: Record<string, string>;
  /** `NAME=value` of every `TF_*` that the worker's environment adds, for one warn line; unknown values are redacted. */
  readonly inheritedTerraformVariables: readonly string[];
}

/**
 * The worker's own environment as templates may see it. Cloud credentials stay visible, authors rely on them; our settings
 * do not. Source: spec/02 §3.1 "Base environment". Without `tfCliConfigPath` Terraform uses its own default.
 */
export function baseEnvironment(
  workerEnv: Readonly<Record<string, string | undefined>>,
  tfCliConfigPath: string | null | undefined,
): BaseEnvironment {
  const env: Record<string, string> = {};
  const inherited: string[] = [];
  for (const [name, value] of Object.entries(workerEnv)) {
    if (value === undefined || overridden.has(name) || deniedNames.has(name)) continue;
    if (deniedPrefixes.some((prefix) => name.startsWith(prefix))) continue;
    env[name] = value;
    if (name.startsWith('TF_')) inherited.push(`${name}=${harmless.has(name) ? value : '[redacted]'}`);
  }
  env['TF_IN_AUTOMATION'] = '1';
  env['CHECKPOINT_DISABLE'] = '1';
  if (tfCliConfigPath != null) env['TF_CLI_CONFIG_FILE'] = tfCliConfigPath;
  return { env, inheritedTerraformVariables: inherited.toSorted() };
}

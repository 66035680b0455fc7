import { type RangeLimit, agentLimits, orUnstated } from '../domain/agent-limits.ts';
import { type EnvironmentEntry, type MergeStrategy, mergeEnvironment } from '../domain/environment-merge.ts';
import type {
  ProvisionedAgent,
  ProvisionedApp,
  ProvisionedDevcontainer,
  ProvisionedScript,
} from '../domain/provisioned.ts';
import { effectiveHealthcheck } from '../domain/sub-agents.ts';
import { integerOf, invalidTemplate, limited, limitedList } from './attributes.ts';
import type { TerraformInstance } from './instances.ts';
import { blockAt, flagAt, numberAt, textAt } from './json.ts';

/** An agent or a dev container with what was attached to it, each list in address order. */
export interface ChildrenOf {
  readonly apps: readonly TerraformInstance[];
  readonly scripts: readonly TerraformInstance[];
  readonly envs: readonly TerraformInstance[];
  readonly devcontainers: readonly TerraformInstance[];
}

/** A dev container as row, as script and, when something hangs on it, as sub-agent (spec/02 §4.7). */
export interface DevcontainerParts {
  readonly row: ProvisionedDevcontainer;
  readonly script: ProvisionedScript;
}

const slugPattern = /^[a-z0-9](-?[a-z0-9])*$/;
const sharingLevels = ['owner', 'authenticated', 'organization', 'public'] as const;

/** Unique in a build, so it also names the app's row. Missing → made from the resource's name. */
export const slugOf = (app: TerraformInstance): string => textAt(app.values, 'slug') || validName(app.name, 'app');

/** A Terraform name made fit for a slug or an agent's name. */
export const validName = (name: string, fallback: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '') || fallback;

/**
 * One `coder_app`. Its id is a new one and not Terraform's: an app without count keeps that through every build, and the
 * rows of the earlier builds stay. Throws INVALID_TEMPLATE for a bad slug. Source: spec/02 §4.6.
 */
function convertApp(app: TerraformInstance, newId: () => string): ProvisionedApp {
  const { values } = app;
  const slug = slugOf(app);
  if (!slugPattern.test(slug) || slug.length > 64)
    throw invalidTemplate(
      app,
      `the slug "${slug}" is not valid: lower-case letters, digits and single hyphens between them, at most 64 characters.`,
    );
  const check = healthcheckOf(app);
  const share = textAt(values, 'share');
  return {
    id: newId(),
    slug,
    displayName: limited(app, 'display_name', textAt(values, 'display_name') || slug, agentLimits.appDisplayName),
    icon: limited(app, 'icon', textAt(values, 'icon'), agentLimits.appIcon),
    command: limited(app, 'command', textAt(values, 'command'), agentLimits.appCommand) || null,
    url: limited(app, 'url', textAt(values, 'url'), agentLimits.appUrl) || null,
    external: flagAt(values, 'external'),
    subdomain: flagAt(values, 'subdomain'),
    sharingLevel: sharingLevels.find((level) => level === share) ?? 'owner',
    healthcheckUrl: check.url,
    healthcheckIntervalSeconds: check.interval,
    healthcheckThreshold: check.threshold,
    health: check.url === '' ? 'disabled' : 'initializing',
    displayOrder: integerOf(app, 'order', numberAt(values, 'order')),
    displayGroup: limited(app, 'group', textAt(values, 'group'), agentLimits.appGroup) || null,
    hidden: flagAt(values, 'hidden'),
    openIn: textAt(values, 'open_in') === 'tab' ? 'tab' : 'slim-window',
    tooltip: limited(app, 'tooltip', textAt(values, 'tooltip'), agentLimits.appTooltip),
  };
}

/** The apps of an agent, or of the one in a dev container. */
export const convertApps = (
  host: TerraformInstance,
  apps: readonly TerraformInstance[],
  newId: () => string,
): ProvisionedApp[] => limitedList(host, 'apps', apps, agentLimits.apps).map((app) => convertApp(app, newId));

/** Its numbers are judged also when the plan does not know the url yet. */
function healthcheckOf(app: TerraformInstance): ReturnType<typeof effectiveHealthcheck> {
  const block = blockAt(app.values, 'healthcheck') ?? {};
  const number = (key: 'interval' | 'threshold', limit: RangeLimit) =>
    integerOf(app, `healthcheck.${key}`, Math.max(numberAt(block, key), 0), orUnstated(limit));
  return effectiveHealthcheck({
    url: limited(app, 'healthcheck.url', textAt(block, 'url'), agentLimits.appUrl),
    interval: number('interval', agentLimits.healthcheckIntervalSeconds),
    threshold: number('threshold', agentLimits.healthcheckThreshold),
  });
}

/** One `coder_script`. Throws INVALID_TEMPLATE for one that could never run. Source: spec/02 §4.7. */
export function convertScript(script: TerraformInstance, newId: () => string): ProvisionedScript {
  const { values } = script;
  const runOnStart = flagAt(values, 'run_on_start');
  const runOnStop = flagAt(values, 'run_on_stop');
  const startBlocksLogin = flagAt(values, 'start_blocks_login');
  const cron = textAt(values, 'cron');
  // Attributes that are unknown at plan time are absent: judge only what is there.
  const known = ['run_on_start', 'run_on_stop', 'cron'].every((key) => key in values);
  if (known && !runOnStart && !runOnStop && cron === '')
    throw invalidTemplate(script, 'set at least one of run_on_start, run_on_stop and cron.');
  if (startBlocksLogin && 'run_on_start' in values && !runOnStart)
    throw invalidTemplate(script, 'start_blocks_login needs run_on_start.');
  return {
    id: newId(),
    logSourceId: newId(),
    displayName: limited(script, 'display_name', textAt(values, 'display_name'), 127),
    icon: limited(script, 'icon', textAt(values, 'icon'), agentLimits.scriptIcon),
    logPath: limited(script, 'log_path', textAt(values, 'log_path'), agentLimits.scriptLogPath),
    script: limited(script, 'script', textAt(values, 'script'), agentLimits.script),
    cron: limited(script, 'cron', cron, agentLimits.scriptCron),
    timeoutSeconds: integerOf(script, 'timeout', numberAt(values, 'timeout'), agentLimits.scriptTimeoutSeconds),
    startBlocksLogin,
    runOnStart,
    runOnStop,
  };
}

const strategies: readonly MergeStrategy[] = ['replace', 'append', 'prepend', 'error'];

/** `coder_env` resources as entries of the merge; one whose name is unknown at plan time is left out. */
const environmentEntries = (envs: readonly TerraformInstance[]): EnvironmentEntry[] =>
  envs
    .filter((env) => 'name' in env.values)
    .map((env) => ({
      address: env.address,
      name: textAt(env.values, 'name'),
      value: limited(env, 'value', textAt(env.values, 'value'), agentLimits.environmentValue),
      strategy: strategies.find((strategy) => strategy === textAt(env.values, 'merge_strategy')) ?? 'replace',
    }));

/**
 * Variables of an agent or of the one in a dev container: its `coder_env`, then its own `env`. Throws INVALID_TEMPLATE naming the
 * variable. Joined values count as the agent will get them.
 */
export function environmentOf(
  host: TerraformInstance,
  envs: readonly TerraformInstance[],
  own?: ReadonlyMap<string, string>,
): ProvisionedAgent['environment'] {
  const merged = mergeEnvironment(environmentEntries(envs), own);
  const variables = limitedList(host, 'env', Object.entries(merged ?? {}), agentLimits.environmentNames);
  for (const [name, value] of variables) limited(host, `env.${name}`, value, agentLimits.environmentValue);
  limited(host, 'env (names and values)', variables.flat().join(''), agentLimits.environment);
  return merged;
}

/** The agent, when the manifest that is made of it will be one that agents take. Throws INVALID_TEMPLATE. */
export function withinManifest(host: TerraformInstance, agent: ProvisionedAgent): ProvisionedAgent {
  // Ours differs from the wire in a few letters per entry.
  limited(
    host,
    'the manifest (its scripts, env, metadata and apps)',
    JSON.stringify(agent),
    agentLimits.manifestOfTemplate,
  );
  return agent;
}

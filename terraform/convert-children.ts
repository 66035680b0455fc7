import type { EnvironmentEntry, MergeStrategy } from '../domain/environment-merge.ts';
import type { ProvisionedApp, ProvisionedDevcontainer, ProvisionedScript } from '../domain/provisioned.ts';
import { integerOf, invalidTemplate, limited } from './attributes.ts';
import type { TerraformInstance } from './instances.ts';
import { blockAt, flagAt, numberAt, textAt, textOrNullAt } from './json.ts';

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
export function convertApp(app: TerraformInstance, newId: () => string): ProvisionedApp {
  const { values } = app;
  const slug = slugOf(app);
  if (!slugPattern.test(slug) || slug.length > 64)
    throw invalidTemplate(
      app,
      `the slug "${slug}" is not valid: lower-case letters, digits and single hyphens between them, at most 64 characters.`,
    );
  const check = blockAt(values, 'healthcheck') ?? {};
  const healthcheckUrl = textAt(check, 'url');
  const share = textAt(values, 'share');
  return {
    id: newId(),
    slug,
    displayName: limited(app, 'display_name', textAt(values, 'display_name') || slug, 64),
    icon: limited(app, 'icon', textAt(values, 'icon'), 256),
    command: textOrNullAt(values, 'command'),
    url: textOrNullAt(values, 'url'),
    external: flagAt(values, 'external'),
    subdomain: flagAt(values, 'subdomain'),
    sharingLevel: sharingLevels.find((level) => level === share) ?? 'owner',
    healthcheckUrl,
    healthcheckIntervalSeconds: integerOf(app, 'healthcheck.interval', numberAt(check, 'interval')),
    healthcheckThreshold: integerOf(app, 'healthcheck.threshold', numberAt(check, 'threshold')),
    health: healthcheckUrl === '' ? 'disabled' : 'initializing',
    displayOrder: integerOf(app, 'order', numberAt(values, 'order')),
    displayGroup: limited(app, 'group', textAt(values, 'group'), 64) || null,
    hidden: flagAt(values, 'hidden'),
    openIn: textAt(values, 'open_in') === 'tab' ? 'tab' : 'slim-window',
    tooltip: limited(app, 'tooltip', textAt(values, 'tooltip'), 2048),
  };
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
    icon: textAt(values, 'icon'),
    logPath: textAt(values, 'log_path'),
    script: textAt(values, 'script'),
    cron,
    timeoutSeconds: integerOf(script, 'timeout', numberAt(values, 'timeout')),
    startBlocksLogin,
    runOnStart,
    runOnStop,
  };
}

const strategies: readonly MergeStrategy[] = ['replace', 'append', 'prepend', 'error'];

/** `coder_env` resources as entries of the merge; one whose name is unknown at plan time is left out. */
export const environmentEntries = (envs: readonly TerraformInstance[]): EnvironmentEntry[] =>
  envs
    .filter((env) => 'name' in env.values)
    .map((env) => ({
      address: env.address,
      name: textAt(env.values, 'name'),
      value: textAt(env.values, 'value'),
      strategy: strategies.find((strategy) => strategy === textAt(env.values, 'merge_strategy')) ?? 'replace',
    }));

import { mergeEnvironment } from '../domain/environment-merge.ts';
import { isUuid } from '../domain/ids.ts';
import type {
  DisplayApp,
  ProvisionedAgent,
  ProvisionedAgentMetadata,
  ProvisionedMonitor,
  ProvisionedScript,
} from '../domain/provisioned.ts';
import { integerOf, invalidTemplate, limited } from './attributes.ts';
import {
  type ChildrenOf,
  type DevcontainerParts,
  convertApp,
  convertScript,
  environmentEntries,
} from './convert-children.ts';
import type { TerraformInstance } from './instances.ts';
import { blockAt, blocksAt, flagAt, mapAt, numberAt, textAt } from './json.ts';

const namePattern = /^[a-z0-9](-?[a-z0-9])*$/i;

/**
 * The agent's name is the Terraform resource's name, not its address; unique in the build without regard to case, so a
 * counted agent or the same name in two modules is an error. Source: spec/02 §4.4. Throws INVALID_TEMPLATE.
 */
export function checkAgentNames(agents: readonly TerraformInstance[]): void {
  const taken = new Map<string, string>();
  for (const agent of agents) {
    if (agent.name.includes('_'))
      throw invalidTemplate(
        agent,
        `the agent name "${agent.name}" has an underscore; underscores are not supported, use hyphens instead.`,
      );
    if (!namePattern.test(agent.name) || agent.name.length > 64)
      throw invalidTemplate(
        agent,
        `the agent name "${agent.name}" is not valid: letters, digits and single hyphens between them, at most 64 characters.`,
      );
    const other = taken.get(agent.name.toLowerCase());
    if (other !== undefined)
      throw invalidTemplate(agent, `the agent name "${agent.name}" is used twice in this workspace, also by ${other}.`);
    taken.set(agent.name.toLowerCase(), agent.address);
  }
}

const displayAppOrder: readonly DisplayApp[] = [
  'vscode',
  'vscode_insiders',
  'ssh_helper',
  'port_forwarding_helper',
  'web_terminal',
];
export const defaultDisplayApps: readonly DisplayApp[] = displayAppOrder.filter((app) => app !== 'vscode_insiders');

function displayApps(agent: TerraformInstance): readonly DisplayApp[] {
  const block = blockAt(agent.values, 'display_apps');
  return block === null ? defaultDisplayApps : displayAppOrder.filter((app) => flagAt(block, app));
}

/** A legacy `login_before_ready = false` means blocking where the newer attribute is missing. */
const startupBlocksLogin = ({ values }: TerraformInstance): boolean =>
  textAt(values, 'startup_script_behavior') === 'blocking' ||
  (textAt(values, 'startup_script_behavior') === '' && values['login_before_ready'] === false);

/** `startup_script` and `shutdown_script` of the agent itself; they come before every `coder_script`. */
function* ownScripts(agent: TerraformInstance, newId: () => string): Generator<ProvisionedScript> {
  const base = { cron: '', timeoutSeconds: 0 };
  const startup = textAt(agent.values, 'startup_script');
  if (startup !== '')
    yield {
      ...base,
      id: newId(),
      logSourceId: newId(),
      displayName: 'Startup Script',
      icon: '/emojis/25b6.png',
      logPath: 'coder-startup-script.log',
      script: startup,
      startBlocksLogin: startupBlocksLogin(agent),
      runOnStart: true,
      runOnStop: false,
    };
  const shutdown = textAt(agent.values, 'shutdown_script');
  if (shutdown !== '')
    yield {
      ...base,
      id: newId(),
      logSourceId: newId(),
      displayName: 'Shutdown Script',
      icon: '/emojis/25c0.png',
      logPath: 'coder-shutdown-script.log',
      script: shutdown,
      startBlocksLogin: false,
      runOnStart: false,
      runOnStop: true,
    };
}

const agentMetadata = (agent: TerraformInstance): ProvisionedAgentMetadata[] =>
  blocksAt(agent.values, 'metadata').map((item) => ({
    key: limited(agent, 'metadata.key', textAt(item, 'key'), 127),
    displayName: limited(agent, 'metadata.display_name', textAt(item, 'display_name'), 127),
    script: textAt(item, 'script'),
    intervalSeconds: integerOf(agent, 'metadata.interval', numberAt(item, 'interval')),
    timeoutSeconds: integerOf(agent, 'metadata.timeout', numberAt(item, 'timeout')),
    displayOrder: integerOf(agent, 'metadata.order', numberAt(item, 'order')),
  }));

function monitors(agent: TerraformInstance): ProvisionedMonitor[] {
  const block = blockAt(agent.values, 'resources_monitoring') ?? {};
  const memory = blockAt(block, 'memory');
  const volumes = blocksAt(block, 'volume').toSorted((a, b) => (textAt(a, 'path') < textAt(b, 'path') ? -1 : 1));
  return [
    ...(memory === null
      ? []
      : [{ path: null, enabled: flagAt(memory, 'enabled'), threshold: numberAt(memory, 'threshold') }]),
    ...volumes.map((volume) => ({
      path: textAt(volume, 'path'),
      enabled: flagAt(volume, 'enabled'),
      threshold: numberAt(volume, 'threshold'),
    })),
  ];
}

function agentToken(agent: TerraformInstance, newId: () => string): string {
  const token = textAt(agent.values, 'token');
  if (textAt(agent.values, 'auth') !== 'token' || token === '') return newId();
  if (!isUuid(token)) throw invalidTemplate(agent, 'the token of the agent is not a uuid.');
  return token;
}

export interface ConvertAgentOptions {
  readonly children: ChildrenOf;
  readonly devcontainers: readonly DevcontainerParts[];
  /** Cloud instance that identifies the agent; never for `auth = "token"`. */
  readonly instanceId: string | null;
  readonly newId: () => string;
}

/** One `coder_agent` with everything attached to it. Throws INVALID_TEMPLATE. */
export function convertAgent(agent: TerraformInstance, options: ConvertAgentOptions): ProvisionedAgent {
  const { values } = agent;
  const { children, devcontainers, instanceId, newId } = options;
  return {
    id: newId(),
    parentId: null,
    name: agent.name,
    token: agentToken(agent, newId),
    instanceId,
    architecture: textAt(values, 'arch'),
    operatingSystem: textAt(values, 'os'),
    directory: limited(agent, 'dir', textAt(values, 'dir'), 4096),
    environment: mergeEnvironment(environmentEntries(children.envs), mapAt(values, 'env')),
    connectionTimeoutSeconds: integerOf(agent, 'connection_timeout', numberAt(values, 'connection_timeout', 120)),
    troubleshootingUrl: textAt(values, 'troubleshooting_url'),
    motdFile: textAt(values, 'motd_file'),
    displayApps: displayApps(agent),
    apiKeyScope: textAt(values, 'api_key_scope') === 'no_user_data' ? 'no_user_data' : 'all',
    displayOrder: integerOf(agent, 'order', numberAt(values, 'order')),
    apps: children.apps.map((app) => convertApp(app, newId)),
    scripts: [
      ...ownScripts(agent, newId),
      ...children.scripts.map((script) => convertScript(script, newId)),
      ...devcontainers.map((devcontainer) => devcontainer.script),
    ],
    metadata: agentMetadata(agent),
    devcontainers: devcontainers.map((devcontainer) => devcontainer.row),
    monitors: monitors(agent),
  };
}

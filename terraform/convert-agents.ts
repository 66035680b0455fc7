import { type TextLimit, agentLimits } from '../domain/agent-limits.ts';
import { isUuid } from '../domain/ids.ts';
import type {
  DisplayApp,
  ProvisionedAgent,
  ProvisionedAgentMetadata,
  ProvisionedMonitor,
  ProvisionedScript,
} from '../domain/provisioned.ts';
import { integerOf, invalidTemplate, limited, limitedList } from './attributes.ts';
import {
  type ChildrenOf,
  type DevcontainerParts,
  convertApps,
  convertScript,
  environmentOf,
  withinManifest,
} from './convert-children.ts';
import type { TerraformInstance } from './instances.ts';
import { type JsonObject, blockAt, blocksAt, flagAt, mapAt, numberAt, textAt } from './json.ts';

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
  const text = (key: string) => limited(agent, key, textAt(agent.values, key), agentLimits.script);
  const startup = text('startup_script');
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
  const shutdown = text('shutdown_script');
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
  limitedList(agent, 'metadata', blocksAt(agent.values, 'metadata'), agentLimits.metadata).map((item) => ({
    key: limited(agent, 'metadata.key', textAt(item, 'key'), agentLimits.metadataKey),
    displayName: limited(agent, 'metadata.display_name', textAt(item, 'display_name'), 127),
    script: limited(agent, 'metadata.script', textAt(item, 'script'), agentLimits.metadataScript),
    intervalSeconds: integerOf(
      agent,
      'metadata.interval',
      numberAt(item, 'interval'),
      agentLimits.metadataIntervalSeconds,
    ),
    timeoutSeconds: integerOf(agent, 'metadata.timeout', numberAt(item, 'timeout'), agentLimits.metadataTimeoutSeconds),
    displayOrder: integerOf(agent, 'metadata.order', numberAt(item, 'order')),
  }));

function monitors(agent: TerraformInstance): ProvisionedMonitor[] {
  const block = blockAt(agent.values, 'resources_monitoring') ?? {};
  const memory = blockAt(block, 'memory');
  const volumes = limitedList(
    agent,
    'resources_monitoring.volume',
    blocksAt(block, 'volume'),
    agentLimits.volumeMonitors,
  );
  const watched = (kind: 'memory' | 'volume', monitor: JsonObject) => ({
    enabled: flagAt(monitor, 'enabled'),
    threshold: integerOf(
      agent,
      `resources_monitoring.${kind}.threshold`,
      numberAt(monitor, 'threshold'),
      agentLimits.monitorThreshold,
    ),
  });
  return [
    ...(memory === null ? [] : [{ path: null, ...watched('memory', memory) }]),
    ...volumes
      .toSorted((a, b) => (textAt(a, 'path') < textAt(b, 'path') ? -1 : 1))
      .map((volume) => ({
        path: limited(agent, 'resources_monitoring.volume.path', textAt(volume, 'path'), agentLimits.volumePath),
        ...watched('volume', volume),
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
  limitedList(agent, 'devcontainers', devcontainers, agentLimits.devcontainers);
  const text = (key: string, limit: TextLimit) => limited(agent, key, textAt(values, key), limit);
  return withinManifest(agent, {
    id: newId(),
    parentId: null,
    name: agent.name,
    token: agentToken(agent, newId),
    instanceId,
    architecture: text('arch', agentLimits.architecture),
    operatingSystem: text('os', agentLimits.operatingSystem),
    directory: text('dir', agentLimits.directory),
    environment: environmentOf(agent, children.envs, mapAt(values, 'env')),
    connectionTimeoutSeconds: integerOf(agent, 'connection_timeout', numberAt(values, 'connection_timeout', 120)),
    troubleshootingUrl: text('troubleshooting_url', agentLimits.troubleshootingUrl),
    motdFile: text('motd_file', agentLimits.motdFile),
    displayApps: displayApps(agent),
    apiKeyScope: textAt(values, 'api_key_scope') === 'no_user_data' ? 'no_user_data' : 'all',
    displayOrder: integerOf(agent, 'order', numberAt(values, 'order')),
    apps: convertApps(agent, children.apps, newId),
    scripts: [
      ...limitedList(
        agent,
        'scripts',
        [...ownScripts(agent, newId), ...children.scripts.map((script) => convertScript(script, newId))],
        agentLimits.scripts,
      ),
      ...devcontainers.map((devcontainer) => devcontainer.script),
    ],
    metadata: agentMetadata(agent),
    devcontainers: devcontainers.map((devcontainer) => devcontainer.row),
    monitors: monitors(agent),
  });
}

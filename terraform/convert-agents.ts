import { mergeEnvironment } from '../domain/environment-merge.ts';
import { isUuid } from '../domain/ids.ts';
import type {
  DisplayApp,
  ProvisionedAgent,
  ProvisionedAgentMetadata,
  ProvisionedDevcontainer,
  ProvisionedMonitor,
  ProvisionedScript,
} from '../domain/provisioned.ts';
import { integerOf, invalidTemplate, limited } from './attributes.ts';
import { convertApp, convertScript, environmentEntries, validName } from './convert-children.ts';
import type { TerraformInstance } from './instances.ts';
import { blockAt, blocksAt, flagAt, mapAt, numberAt, textAt } from './json.ts';

/** An agent or a dev container with what was attached to it, each list in address order. */
export interface ChildrenOf {
  readonly apps: readonly TerraformInstance[];
  readonly scripts: readonly TerraformInstance[];
  readonly envs: readonly TerraformInstance[];
  readonly devcontainers: readonly TerraformInstance[];
}

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
const defaultDisplayApps = displayAppOrder.filter((app) => app !== 'vscode_insiders');

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

/** A dev container as row, as script and, when something hangs on it, as sub-agent (spec/02 §4.7). */
export interface DevcontainerParts {
  readonly row: ProvisionedDevcontainer;
  readonly script: ProvisionedScript;
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

/** Row and placeholder script of a `coder_devcontainer`; the script's id is the row's, its source is empty. */
export function convertDevcontainer(
  devcontainer: TerraformInstance,
  options: { readonly hasChildren: boolean; readonly newId: () => string },
): DevcontainerParts {
  const { values } = devcontainer;
  const id = options.newId();
  const known = textAt(values, 'subagent_id');
  const subagentId = options.hasChildren ? (isUuid(known) ? known : options.newId()) : null;
  return {
    row: {
      id,
      name: devcontainer.name,
      workspaceFolder: textAt(values, 'workspace_folder'),
      configPath: textAt(values, 'config_path'),
      subagentId,
    },
    script: {
      id,
      logSourceId: options.newId(),
      displayName: limited(devcontainer, 'the name', `Dev Container (${devcontainer.name})`, 127),
      icon: '/emojis/1f4e6.png',
      logPath: '',
      script: '',
      cron: '',
      timeoutSeconds: 0,
      startBlocksLogin: false,
      runOnStart: false,
      runOnStop: false,
    },
  };
}

export interface SubAgentOptions {
  readonly row: ProvisionedDevcontainer & { readonly subagentId: string };
  readonly children: ChildrenOf;
  /** Lower-case names that are taken in this build; the new one is added. */
  readonly takenNames: Set<string>;
  readonly newId: () => string;
}

/**
 * The agent inside a dev container: machine and key scope of its parent, a token of its own, never an instance id (a
 * look-up by instance must find the parent).
 */
export function convertSubAgent(parent: ProvisionedAgent, options: SubAgentOptions): ProvisionedAgent {
  const { row, children, takenNames, newId } = options;
  const wanted = validName(row.name, 'devcontainer').slice(0, 60);
  let name = wanted;
  for (let i = 2; takenNames.has(name); i++) name = `${wanted}-${i}`;
  takenNames.add(name);
  return {
    id: row.subagentId,
    parentId: parent.id,
    name,
    token: newId(),
    instanceId: null,
    architecture: parent.architecture,
    operatingSystem: parent.operatingSystem,
    directory: row.workspaceFolder,
    environment: mergeEnvironment(environmentEntries(children.envs)),
    connectionTimeoutSeconds: parent.connectionTimeoutSeconds,
    troubleshootingUrl: parent.troubleshootingUrl,
    motdFile: '',
    displayApps: defaultDisplayApps,
    apiKeyScope: parent.apiKeyScope,
    displayOrder: parent.displayOrder,
    apps: children.apps.map((app) => convertApp(app, newId)),
    scripts: children.scripts.map((script) => convertScript(script, newId)),
    metadata: [],
    devcontainers: [],
    monitors: [],
  };
}

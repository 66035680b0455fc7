import { agentLimits } from '../domain/agent-limits.ts';
import type { ProvisionedAgent, ProvisionedDevcontainer } from '../domain/provisioned.ts';
import { limited, limitedList } from './attributes.ts';
import { defaultDisplayApps } from './convert-agents.ts';
import {
  type ChildrenOf,
  type DevcontainerParts,
  convertApps,
  convertScript,
  environmentOf,
  validName,
  withinManifest,
} from './convert-children.ts';
import type { TerraformInstance } from './instances.ts';
import { textAt } from './json.ts';

/**
 * Names of an agent's containers: that of the resource, with -2, -3 where an earlier one has it already (modules, `for_each`).
 * Source: spec/05 §13.
 */
export function devcontainerNames(devcontainers: readonly TerraformInstance[]): readonly string[] {
  // What somebody wrote is never given to another one: `a`, `a`, `a-2` become `a`, `a-3`, `a-2`.
  const written = new Set(devcontainers.map(({ name }) => name));
  const given = new Set<string>();
  return devcontainers.map((devcontainer) => {
    let { name } = devcontainer;
    for (let i = 2; given.has(name) || (name !== devcontainer.name && written.has(name)); i++)
      name = `${devcontainer.name}-${i}`;
    given.add(name);
    return name;
  });
}

/** Row and placeholder script of a `coder_devcontainer`; the script's id is the row's, its source is empty. */
export function convertDevcontainer(
  devcontainer: TerraformInstance,
  options: { readonly name: string; readonly hasChildren: boolean; readonly newId: () => string },
): DevcontainerParts {
  const { values } = devcontainer;
  const { name } = options;
  const id = options.newId();
  // Terraform's own `subagent_id` outlives a build and only serves to match children; rows of earlier builds have theirs.
  const subagentId = options.hasChildren ? options.newId() : null;
  return {
    row: {
      id,
      name,
      workspaceFolder: limited(
        devcontainer,
        'workspace_folder',
        textAt(values, 'workspace_folder'),
        agentLimits.workspaceFolder,
      ),
      configPath: limited(devcontainer, 'config_path', textAt(values, 'config_path'), agentLimits.configPath),
      subagentId,
    },
    script: {
      id,
      logSourceId: options.newId(),
      displayName: limited(devcontainer, 'the name', `Dev Container (${name})`, 127),
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
  readonly devcontainer: TerraformInstance;
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
  const { devcontainer, row, children, takenNames, newId } = options;
  const wanted = validName(row.name, 'devcontainer').slice(0, 60).replace(/-$/, '');
  let name = wanted;
  for (let i = 2; takenNames.has(name); i++) name = `${wanted}-${i}`;
  takenNames.add(name);
  return withinManifest(devcontainer, {
    id: row.subagentId,
    parentId: parent.id,
    name,
    token: newId(),
    instanceId: null,
    architecture: parent.architecture,
    operatingSystem: parent.operatingSystem,
    directory: row.workspaceFolder,
    environment: environmentOf(devcontainer, children.envs),
    connectionTimeoutSeconds: parent.connectionTimeoutSeconds,
    troubleshootingUrl: parent.troubleshootingUrl,
    motdFile: '',
    displayApps: defaultDisplayApps,
    apiKeyScope: parent.apiKeyScope,
    displayOrder: parent.displayOrder,
    apps: convertApps(devcontainer, children.apps, newId),
    scripts: limitedList(devcontainer, 'scripts', children.scripts, agentLimits.scripts).map((script) =>
      convertScript(script, newId),
    ),
    metadata: [],
    devcontainers: [],
    monitors: [],
  });
}

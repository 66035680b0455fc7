import { mergeEnvironment } from '../domain/environment-merge.ts';
import type { ProvisionedAgent, ProvisionedDevcontainer } from '../domain/provisioned.ts';
import { limited } from './attributes.ts';
import { defaultDisplayApps } from './convert-agents.ts';
import {
  type ChildrenOf,
  type DevcontainerParts,
  convertApp,
  convertScript,
  environmentEntries,
  validName,
} from './convert-children.ts';
import type { TerraformInstance } from './instances.ts';
import { textAt } from './json.ts';

/** Row and placeholder script of a `coder_devcontainer`; the script's id is the row's, its source is empty. */
export function convertDevcontainer(
  devcontainer: TerraformInstance,
  options: { readonly hasChildren: boolean; readonly newId: () => string },
): DevcontainerParts {
  const { values } = devcontainer;
  const id = options.newId();
  // Terraform's own `subagent_id` outlives a build and only serves to match children; rows of earlier builds have theirs.
  const subagentId = options.hasChildren ? options.newId() : null;
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

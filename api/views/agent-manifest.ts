import { z } from '@hono/zod-openapi';
import type { Manifest as ManifestWire } from '../../agent/protocol.ts';
import type { Manifest } from '../../commands/agent-manifest.ts';
import { NIL_UUID } from '../../domain/ids.ts';
import { WorkspaceApp, appView } from './workspace-app.ts';
import { AgentScript, scriptView } from './agent-script.ts';

export const AgentManifest = z
  .object({
    agent_id: z.string(),
    agent_name: z.string(),
    parent_id: z.string().openapi({ description: 'nil uuid for a top-level agent' }),
    owner_id: z.string(),
    owner_name: z.string(),
    workspace_id: z.string(),
    workspace_name: z.string(),
    build_id: z.string(),
    build_number: z.number().int(),
    git_auth_configs: z.number().int(),
    vscode_port_proxy_uri: z.string(),
    apps: z.array(WorkspaceApp),
    environment_variables: z.record(z.string(), z.string()),
    directory: z.string(),
    motd_file: z.string(),
    disable_direct_connections: z.literal(true),
    derp_force_websockets: z.literal(false),
    derpmap: z.object({}),
    metadata: z.array(
      z.object({
        display_name: z.string(),
        key: z.string(),
        script: z.string(),
        interval: z.number().int().openapi({ description: 'seconds' }),
        timeout: z.number().int().openapi({ description: 'seconds' }),
      }),
    ),
    scripts: z.array(AgentScript),
    devcontainers: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        workspace_folder: z.string(),
        config_path: z.string(),
        subagent_id: z.string().nullable(),
      }),
    ),
    secrets: z.array(z.object({ env_name: z.string(), file_path: z.string(), value_base64: z.string() })),
    stats_interval_seconds: z.number().int(),
    resources_monitoring: z.object({
      config: z.object({ num_datapoints: z.number().int(), collection_interval_seconds: z.number().int() }),
      memory: z.object({ enabled: z.boolean() }).optional(),
      volumes: z.array(z.object({ enabled: z.boolean(), path: z.string() })),
    }),
  })
  .openapi('AgentManifest');

export const statsIntervalSeconds = 30;
/** The ring of readings that an agent keeps (spec/05 §12). */
export const monitoringConfig = { num_datapoints: 20, collection_interval_seconds: 10 } as const;

/** Source: spec/05 §3. */
export function manifestView(manifest: Manifest): z.infer<typeof AgentManifest> & ManifestWire {
  return {
    agent_id: manifest.agentId,
    agent_name: manifest.agentName,
    parent_id: manifest.parentId ?? NIL_UUID,
    owner_id: manifest.ownerId,
    owner_name: manifest.ownerName,
    workspace_id: manifest.workspaceId,
    workspace_name: manifest.workspaceName,
    build_id: manifest.buildId,
    build_number: manifest.buildNumber,
    git_auth_configs: 0,
    // There is no wildcard host for applications yet.
    vscode_port_proxy_uri: '',
    apps: manifest.apps.map((app) => appView({ ...app, statuses: [] })),
    environment_variables: manifest.environmentVariables ?? {},
    directory: manifest.directory,
    motd_file: manifest.parentId === null ? manifest.motdFile : '',
    // Tunnels are out of scope (spec/05).
    disable_direct_connections: true,
    derp_force_websockets: false,
    derpmap: {},
    metadata: manifest.metadata.map((item) => ({
      display_name: item.displayName,
      key: item.key,
      script: item.script,
      interval: item.intervalSeconds,
      timeout: item.timeoutSeconds,
    })),
    scripts: manifest.scripts.map(scriptView),
    devcontainers: manifest.devcontainers.map((devcontainer) => ({
      id: devcontainer.id,
      name: devcontainer.name,
      workspace_folder: devcontainer.workspaceFolder,
      config_path: devcontainer.configPath,
      subagent_id: devcontainer.subagentId,
    })),
    secrets: manifest.secrets.map(({ envName, filePath, value }) => ({
      env_name: envName,
      file_path: filePath,
      value_base64: value.toString('base64'),
    })),
    stats_interval_seconds: statsIntervalSeconds,
    resources_monitoring: {
      config: monitoringConfig,
      ...(manifest.memory !== undefined && { memory: manifest.memory }),
      volumes: manifest.volumes,
    },
  };
}

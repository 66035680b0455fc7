import type { AgentLifecycleState } from '../domain/agent-lifecycle.ts';
import type { AgentLogLevel } from '../domain/agent-logs.ts';

/**
 * What an agent and the server say to each other; JSON over HTTP for reports, one WebSocket (`/workspaceagents/me/connect`)
 * for liveness and for what the server wants. Source: spec/05 §3, §7, §16.
 */
export { agentApiVersion } from '../domain/agent-lifecycle.ts';

/** The source that lines without one belong to; made on demand. */
export const externalLogSourceId = '3b579bf4-1ed8-4b99-87a8-e9a1e3410410';

export interface ManifestApp {
  readonly id: string;
  readonly slug: string;
  readonly display_name?: string | undefined;
  readonly url?: string | undefined;
  readonly external: boolean;
  readonly command?: string | undefined;
  /** `interval` in seconds. */
  readonly healthcheck?: { readonly url: string; readonly interval: number; readonly threshold: number } | undefined;
  readonly health: 'disabled' | 'initializing' | 'healthy' | 'unhealthy';
}

export interface ManifestScript {
  readonly id: string;
  readonly log_source_id: string;
  readonly log_path: string;
  readonly script: string;
  /** Six fields, seconds first; empty = never by the clock. */
  readonly cron: string;
  readonly run_on_start: boolean;
  readonly run_on_stop: boolean;
  readonly start_blocks_login: boolean;
  /** Nanoseconds, 0 = none. */
  readonly timeout: number;
  readonly display_name: string;
}

export interface ManifestMetadata {
  readonly display_name: string;
  readonly key: string;
  readonly script: string;
  /** Seconds; 0 = collected once. */
  readonly interval: number;
  /** Seconds; 0 = as long as the interval, or 3. */
  readonly timeout: number;
}

export interface ManifestDevcontainer {
  readonly id: string;
  readonly name: string;
  readonly workspace_folder: string;
  readonly config_path: string;
  /** The agent that the template declares inside it; null = the agent makes one itself. */
  readonly subagent_id: string | null;
}

export interface ManifestSecret {
  readonly env_name: string;
  readonly file_path: string;
  readonly value_base64: string;
}

export interface ResourcesMonitoring {
  readonly config: { readonly num_datapoints: number; readonly collection_interval_seconds: number };
  readonly memory?: { readonly enabled: boolean } | undefined;
  readonly volumes: readonly { readonly enabled: boolean; readonly path: string }[];
}

/** `GET /workspaceagents/me/manifest`. */
export interface Manifest {
  readonly agent_id: string;
  readonly agent_name: string;
  /** Nil uuid for a top-level agent. */
  readonly parent_id: string;
  readonly owner_id: string;
  readonly owner_name: string;
  readonly workspace_id: string;
  readonly workspace_name: string;
  readonly build_id: string;
  readonly build_number: number;
  readonly git_auth_configs: number;
  readonly vscode_port_proxy_uri: string;
  readonly apps: readonly ManifestApp[];
  readonly environment_variables: Readonly<Record<string, string>>;
  readonly directory: string;
  readonly motd_file: string;
  readonly disable_direct_connections: true;
  readonly derp_force_websockets: false;
  readonly derpmap: Readonly<Record<string, never>>;
  readonly metadata: readonly ManifestMetadata[];
  readonly scripts: readonly ManifestScript[];
  readonly devcontainers: readonly ManifestDevcontainer[];
  readonly secrets: readonly ManifestSecret[];
  readonly stats_interval_seconds: number;
  readonly resources_monitoring: ResourcesMonitoring;
}

/** The workspace has a new owner. `data` of the one event of `GET /workspaceagents/me/reinit`. */
export interface ReinitEvent {
  readonly workspace_id: string;
  readonly user_id: string;
  readonly reason: string;
}

export type AgentRequestMethod =
  'containers.list' | 'devcontainers.recreate' | 'devcontainers.delete' | 'listening-ports';

export type ServerFrame =
  | { readonly type: 'shutdown'; readonly reason: string }
  | { readonly type: 'reinit'; readonly event: ReinitEvent }
  | { readonly type: 'manifest_changed' }
  | {
      readonly type: 'request';
      readonly id: string;
      readonly method: AgentRequestMethod;
      readonly params: Readonly<Record<string, unknown>>;
    };

export type AgentFrame = {
  readonly type: 'response';
  readonly id: string;
  readonly result?: unknown;
  readonly error?: string | undefined;
};

/** Close codes of the WebSocket beside the usual ones. */
export const closeCodes = {
  /** A newer socket of the same agent. */
  superseded: 4000,
  /** The token stands for another agent now; a `reinit` frame came before. */
  reinit: 4001,
  /** 1008 with reason `build is outdated`: the token is refused. */
  refused: 1008,
} as const;

export type LifecycleState = AgentLifecycleState;
export type LogLevel = AgentLogLevel;

/** `PATCH /workspaceagents/me/logs`. */
export interface LogsReport {
  readonly log_source_id: string;
  readonly logs: readonly { readonly created_at: string; readonly level: LogLevel; readonly output: string }[];
}

/** `POST /workspaceagents/me/metadata`; `age` in seconds. */
export interface MetadataReport {
  readonly metadata: readonly {
    readonly key: string;
    readonly value: string;
    readonly error: string;
    readonly collected_at: string;
    readonly age: number;
  }[];
}

/** `POST /workspaceagents/me/script-timings`. */
export interface ScriptTiming {
  readonly script_id: string;
  readonly started_at: string;
  readonly ended_at: string;
  readonly exit_code: number;
  readonly stage: 'start' | 'stop' | 'cron';
  readonly status: 'ok' | 'exit_failure' | 'timed_out' | 'pipes_left_open';
}

/** `POST /workspaceagents/me/startup`. */
export interface StartupReport {
  /** Semantic version with a leading `v`. */
  readonly version: string;
  readonly expanded_directory: string;
  readonly subsystems: readonly ('envbox' | 'envbuilder' | 'exectrace')[];
}

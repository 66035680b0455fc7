/**
 * What one Terraform run gives, already in our words: the output of `terraform/` and the input of `db/queries`.
 * Ids are minted by the conversion, so that rows can refer to each other before any insert. Source: spec/02 §2, §4.
 */
export type AppHealth = 'disabled' | 'initializing';
export type DisplayApp = 'vscode' | 'vscode_insiders' | 'web_terminal' | 'ssh_helper' | 'port_forwarding_helper';

export interface ProvisionedApp {
  readonly id: string;
  readonly slug: string;
  readonly displayName: string;
  readonly icon: string;
  readonly command: string | null;
  readonly url: string | null;
  readonly external: boolean;
  readonly subdomain: boolean;
  readonly sharingLevel: 'owner' | 'authenticated' | 'organization' | 'public';
  readonly healthcheckUrl: string;
  readonly healthcheckIntervalSeconds: number;
  readonly healthcheckThreshold: number;
  readonly health: AppHealth;
  readonly displayOrder: number;
  readonly displayGroup: string | null;
  readonly hidden: boolean;
  readonly openIn: 'slim-window' | 'tab';
  readonly tooltip: string;
}

export interface ProvisionedScript {
  readonly id: string;
  readonly logSourceId: string;
  readonly displayName: string;
  readonly icon: string;
  readonly logPath: string;
  readonly script: string;
  readonly cron: string;
  readonly timeoutSeconds: number;
  readonly startBlocksLogin: boolean;
  readonly runOnStart: boolean;
  readonly runOnStop: boolean;
}

export interface ProvisionedAgentMetadata {
  readonly key: string;
  readonly displayName: string;
  readonly script: string;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly displayOrder: number;
}

export interface ProvisionedDevcontainer {
  readonly id: string;
  readonly name: string;
  readonly workspaceFolder: string;
  readonly configPath: string;
  /** Set when a sub-agent row was made for it in the same run. */
  readonly subagentId: string | null;
}

export interface ProvisionedMonitor {
  /** null = memory, else an absolute path. */
  readonly path: string | null;
  readonly enabled: boolean;
  readonly threshold: number;
}

export interface ProvisionedAgent {
  readonly id: string;
  /** Sub-agents (dev containers) only. */
  readonly parentId: string | null;
  readonly name: string;
  /** A uuid in clear; stored as hash plus encrypted copy. */
  readonly token: string;
  readonly instanceId: string | null;
  readonly architecture: string;
  readonly operatingSystem: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>> | null;
  readonly connectionTimeoutSeconds: number;
  readonly troubleshootingUrl: string;
  readonly motdFile: string;
  readonly displayApps: readonly DisplayApp[];
  readonly apiKeyScope: 'all' | 'no_user_data';
  readonly displayOrder: number;
  readonly apps: readonly ProvisionedApp[];
  readonly scripts: readonly ProvisionedScript[];
  readonly metadata: readonly ProvisionedAgentMetadata[];
  readonly devcontainers: readonly ProvisionedDevcontainer[];
  readonly monitors: readonly ProvisionedMonitor[];
}

export interface ProvisionedResourceMetadata {
  readonly key: string;
  readonly value: string | null;
  readonly sensitive: boolean;
}

export interface ProvisionedResource {
  readonly id: string;
  /** Full Terraform address; kept for logs and tests, not a column. */
  readonly address: string;
  readonly type: string;
  readonly name: string;
  readonly hide: boolean;
  readonly icon: string;
  readonly dailyCost: number;
  readonly instanceType: string | null;
  readonly modulePath: string;
  readonly metadata: readonly ProvisionedResourceMetadata[];
  /** Parents before their sub-agents. */
  readonly agents: readonly ProvisionedAgent[];
}

export interface ProvisionedResources {
  /** In address order. */
  readonly resources: readonly ProvisionedResource[];
  /** Σ daily_cost. */
  readonly dailyCost: number;
  readonly hasExternalAgent: boolean;
  readonly hasAiTask: boolean;
  /** Id of the app's row that `coder_ai_task` names (Terraform's id when no app has it), null when there is none. */
  readonly aiTaskAppId: string | null;
  /** Lines for the job log: dropped agents and the like. */
  readonly warnings: readonly string[];
}

export interface TemplateVariable {
  readonly name: string;
  readonly description: string;
  /** Text of the type expression, `string` when absent. */
  readonly type: string;
  /** null = no default, so required. Complex defaults as JSON text. */
  readonly defaultValue: string | null;
  readonly sensitive: boolean;
}

export type ParameterType = 'string' | 'number' | 'bool' | 'list(string)';

export interface ParameterOption {
  readonly name: string;
  readonly description: string;
  readonly value: string;
  readonly icon: string;
}

export interface TemplateParameter {
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  readonly icon: string;
  readonly type: ParameterType;
  readonly formType: string;
  readonly mutable: boolean;
  readonly defaultValue: string;
  readonly required: boolean;
  readonly options: readonly ParameterOption[];
  readonly validationRegex: string;
  readonly validationError: string;
  readonly validationMonotonic: '' | 'increasing' | 'decreasing';
  readonly validationMin: number | null;
  readonly validationMax: number | null;
  readonly displayOrder: number;
  readonly ephemeral: boolean;
}

export interface TemplatePresetSchedule {
  readonly cronExpression: string;
  readonly desiredInstances: number;
}

export interface TemplatePreset {
  readonly name: string;
  readonly description: string;
  readonly icon: string;
  readonly isDefault: boolean;
  /** null = no prebuilds block; 0 allowed. */
  readonly desiredInstances: number | null;
  readonly invalidateAfterSecs: number | null;
  readonly schedulingTimezone: string;
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
  readonly schedules: readonly TemplatePresetSchedule[];
  /** `validation_failed` when a prebuild preset leaves a required parameter open (spec/02 §2.6). */
  readonly prebuildStatus: 'normal' | 'validation_failed';
  readonly prebuildStatusDetail: string;
}

export interface ExternalAuthProvider {
  readonly id: string;
  readonly optional: boolean;
}

export interface TerraformModule {
  readonly source: string;
  readonly version: string;
  readonly key: string;
}

/** What a start plan says about the template itself (spec/02 §2.5–2.8). */
export interface TemplateDefinition {
  readonly parameters: readonly TemplateParameter[];
  readonly presets: readonly TemplatePreset[];
  readonly externalAuthProviders: readonly ExternalAuthProvider[];
  readonly workspaceTags: readonly { readonly key: string; readonly value: string }[];
  readonly warnings: readonly string[];
}

/**
 * Which configuration object refers to which, by label (an address without instance keys). Made once at import and kept
 * with the version, so that a build needs neither `terraform graph` nor `terraform show` (design §3).
 */
export interface TemplateReferences {
  /** Edges `[dependent, dependency]` of `terraform graph`. */
  readonly edges: readonly (readonly [string, string])[];
  /** Label of a child (app, script, env, devcontainer) → label of the agent or devcontainer it names in `agent_id`. */
  readonly agentOf: Readonly<Record<string, string>>;
  /** Label of a `coder_metadata` → label of the resource named in `resource_id`. */
  readonly metadataOf: Readonly<Record<string, string>>;
  /** Labels of resources with provisioners; absent in versions that were imported before it was kept. */
  readonly provisioned?: readonly string[];
  /** Whether a `coder_metadata` has a daily cost other than 0; absent in versions that were imported before it was kept. */
  readonly mayCost?: boolean;
}

/**
 * What of a version follows from who owns a workspace or from its name. Decided once at import from the configuration; a claim
 * is handed over before Terraform when nothing outside of `coder_…` does. Source: docs/adr/0020.
 */
export interface ClaimDependencies {
  /** Addresses that Terraform would change at a claim, each with the reference it depends on, in order. Empty = the claim is pure. */
  readonly dependents: readonly ClaimDependent[];
  /** Variables of agents whose values can be told without Terraform. */
  readonly environment: readonly ClaimVariable[];
}

export interface ClaimDependent {
  /** Label of the resource (no instance keys), or of what of an agent's manifest cannot be told beforehand. */
  readonly address: string;
  /** First reference on the way to the owner, e.g. `data.coder_workspace_owner.me.name`. */
  readonly because: string;
}

/** One `coder_env` whose value is a text with the owner's or the workspace's attributes in it. */
export interface ClaimVariable {
  /** Label of the agent. */
  readonly agent: string;
  readonly name: string;
  readonly value: readonly ClaimVariablePart[];
}

export type ClaimVariablePart =
  | { readonly text: string }
  | { readonly of: 'owner'; readonly attribute: 'id' | 'name' | 'full_name' | 'email' }
  | { readonly of: 'workspace'; readonly attribute: 'id' | 'name' };

export interface JobLogLine {
  readonly source: 'provisioner' | 'provisioner_daemon';
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly stage: string;
  readonly output: string;
  readonly createdAt: Date;
}

export interface JobTiming {
  readonly stage: 'init' | 'plan' | 'graph' | 'apply';
  readonly source: string;
  readonly action: string;
  readonly resource: string;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

import { createHash } from 'node:crypto';
import type { Transition } from '../domain/jobs.ts';
import type { ParameterValue } from '../domain/parameters.ts';

/**
 * The environment that Terraform and the `coder/coder` provider read. The same values go to plan and apply, because a data
 * source may be deferred to apply. Source: spec/02 §3.1, spec/03 §11.6.
 */
export type Environment = Readonly<Record<string, string>>;

export interface EnvironmentOwner {
  readonly id: string;
  readonly username: string;
  /** Full name. */
  readonly name: string;
  readonly email: string;
  /** Names of the groups in the workspace's organization. */
  readonly groups: readonly string[];
  /** `orgId` is empty for site roles. */
  readonly rbacRoles: readonly { readonly name: string; readonly orgId: string }[];
  readonly loginType: string | null;
  readonly sessionToken: string;
  readonly oidcAccessToken: string;
  readonly sshPublicKey: string;
  readonly sshPrivateKey: string;
}

/** Value of a Terraform variable; one that equals the default may be left out. */
export interface VariableValue {
  readonly name: string;
  readonly value: string;
  /** Then it is sent although it is empty. */
  readonly required?: boolean;
}

/** `linux_amd64` → text of the init script. */
export type AgentScripts = Readonly<Record<string, string>>;

export interface BuildEnvironmentInput {
  readonly accessUrl: string;
  readonly transition: Transition;
  readonly workspace: { readonly id: string; readonly name: string };
  readonly buildId: string;
  readonly template: { readonly id: string; readonly name: string };
  readonly versionName: string;
  readonly owner: EnvironmentOwner;
  readonly parameters: readonly ParameterValue[];
  readonly previousParameters: readonly ParameterValue[];
  readonly variables: readonly VariableValue[];
  readonly externalAuthTokens: readonly { readonly id: string; readonly accessToken: string }[];
  readonly prebuildStage: 'none' | 'create' | 'claim';
  /** Token of the workspace's single agent, when that has to keep it: on a claim and on a refresh. */
  readonly runningAgentToken: string | null;
  readonly refreshOnly?: boolean;
  readonly agentScripts: AgentScripts;
  readonly task: { readonly id: string; readonly prompt: string } | null;
  readonly logLevel: 'debug' | null;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Terraform's word for delete. */
const transitionWord = { start: 'start', stop: 'stop', delete: 'destroy' } as const;

/** Environment of a workspace build. */
export function buildEnvironment(input: BuildEnvironmentInput): Record<string, string> {
  const { owner, workspace, template, prebuildStage: stage } = input;
  // Nobody owns a pool workspace yet: it gets no person's credentials, whatever the caller found.
  const personal = (secret: string): string => (stage === 'create' ? '' : secret);
  const environment: Record<string, string> = {
    CODER_AGENT_URL: input.accessUrl,
    CODER_WORKSPACE_TRANSITION: transitionWord[input.transition],
    CODER_WORKSPACE_ID: workspace.id,
    CODER_WORKSPACE_NAME: workspace.name,
    CODER_WORKSPACE_BUILD_ID: input.buildId,
    CODER_WORKSPACE_TEMPLATE_ID: template.id,
    CODER_WORKSPACE_TEMPLATE_NAME: template.name,
    CODER_WORKSPACE_TEMPLATE_VERSION: input.versionName,
    CODER_WORKSPACE_OWNER: owner.username,
    CODER_WORKSPACE_OWNER_ID: owner.id,
    CODER_WORKSPACE_OWNER_NAME: owner.name,
    CODER_WORKSPACE_OWNER_EMAIL: owner.email,
    // The provider decodes both as JSON: an empty text would fail the plan.
    CODER_WORKSPACE_OWNER_GROUPS: JSON.stringify(owner.groups),
    CODER_WORKSPACE_OWNER_RBAC_ROLES: JSON.stringify(
      owner.rbacRoles.map((role) => ({ name: role.name, org_id: role.orgId })),
    ),
    CODER_WORKSPACE_OWNER_SESSION_TOKEN: personal(owner.sessionToken),
    CODER_WORKSPACE_OWNER_OIDC_ACCESS_TOKEN: personal(owner.oidcAccessToken),
    CODER_WORKSPACE_OWNER_SSH_PUBLIC_KEY: personal(owner.sshPublicKey),
    CODER_WORKSPACE_OWNER_SSH_PRIVATE_KEY: personal(owner.sshPrivateKey),
    ...agentScriptVariables(input.agentScripts),
    ...parameterVariables('CODER_PARAMETER_', input.parameters),
    ...parameterVariables('CODER_PARAMETER_PREVIOUS_', input.previousParameters),
    ...terraformVariables(input.variables),
  };
  if (owner.loginType !== null) environment['CODER_WORKSPACE_OWNER_LOGIN_TYPE'] = owner.loginType;
  if (stage !== 'create') {
    for (const { id, accessToken } of input.externalAuthTokens) {
      environment[`CODER_EXTERNAL_AUTH_ACCESS_TOKEN_${id}`] = accessToken;
      environment[`CODER_GIT_AUTH_ACCESS_TOKEN_${id}`] = accessToken;
    }
  }
  if (stage === 'create') environment['CODER_WORKSPACE_IS_PREBUILD'] = 'true';
  if (stage === 'claim') {
    environment['CODER_WORKSPACE_IS_PREBUILD_CLAIM'] = 'true';
  }
  // The provider hashes an empty agent id, so the name is the same for every agent.
  if (input.runningAgentToken !== null && (stage === 'claim' || input.refreshOnly === true))
    environment[`CODER_RUNNING_WORKSPACE_AGENT_TOKEN_${sha256('')}`] = input.runningAgentToken;
  if (input.task !== null && !/^[0-]*$/.test(input.task.id)) {
    environment['CODER_TASK_ID'] = input.task.id;
    environment['CODER_TASK_PROMPT'] = input.task.prompt;
  }
  if (input.logLevel === 'debug') environment['TF_LOG'] = 'JSON';
  return environment;
}

export interface ImportEnvironmentInput {
  readonly accessUrl: string;
  readonly transition: 'start' | 'stop';
  readonly variables: readonly VariableValue[];
  readonly agentScripts: AgentScripts;
}

/**
 * Environment of an import: no workspace is known and no build id may be set, else the provider demands the template's
 * data. Source: spec/02 §2.1.
 */
export const importEnvironment = (input: ImportEnvironmentInput): Record<string, string> => ({
  CODER_AGENT_URL: input.accessUrl,
  CODER_WORKSPACE_TRANSITION: input.transition,
  ...agentScriptVariables(input.agentScripts),
  ...terraformVariables(input.variables),
});

export interface DryRunEnvironmentInput {
  readonly accessUrl: string;
  /** Empty → `dryrun`. */
  readonly workspaceName: string;
  /** Random. */
  readonly workspaceId: string;
  /** Random. */
  readonly ownerId: string;
  /** Of the user who asked. */
  readonly ownerUsername: string;
  readonly parameters: readonly ParameterValue[];
  readonly variables: readonly VariableValue[];
  readonly agentScripts: AgentScripts;
}

/** Environment of a dry run: a start without build id (spec/02 §3.3). */
export const dryRunEnvironment = (input: DryRunEnvironmentInput): Record<string, string> => ({
  ...importEnvironment({ ...input, transition: 'start' }),
  CODER_WORKSPACE_ID: input.workspaceId,
  CODER_WORKSPACE_NAME: input.workspaceName || 'dryrun',
  CODER_WORKSPACE_OWNER: input.ownerUsername,
  CODER_WORKSPACE_OWNER_ID: input.ownerId,
  ...parameterVariables('CODER_PARAMETER_', input.parameters),
});

const parameterVariables = (prefix: string, values: readonly ParameterValue[]): Environment =>
  Object.fromEntries(values.map(({ name, value }) => [prefix + sha256(name), value]));

const agentScriptVariables = (scripts: AgentScripts): Environment =>
  Object.fromEntries(Object.entries(scripts).map(([platform, script]) => [`CODER_AGENT_SCRIPT_${platform}`, script]));

/** Not `-var`: command lines are readable by every user of the host (spec/02 §2.4). */
const terraformVariables = (variables: readonly VariableValue[]): Environment =>
  Object.fromEntries(
    variables
      .filter((variable) => variable.value !== '' || variable.required === true)
      .map((variable) => [`TF_VAR_${variable.name}`, variable.value]),
  );

export { baseEnvironment, type BaseEnvironment } from './base-environment.ts';

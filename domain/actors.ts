import type { ActorName } from './actor-permissions.ts';
import { NIL_UUID, PREBUILDS_SYSTEM_USER_ID } from './ids.ts';
import type { Subject } from './subject.ts';

/** Builds the named actors; what each may do stands in actor-permissions.ts. Source: spec/07 §8. */
interface Binding {
  readonly id?: string;
  readonly organizationId?: string | undefined;
  readonly allowList?: readonly string[];
}

const actor = (name: ActorName, binding: Binding = {}): Subject => ({
  kind: 'actor',
  id: binding.id ?? NIL_UUID,
  name,
  roles: [],
  organizations: binding.organizationId === undefined ? {} : { [binding.organizationId]: [] },
  groups: [],
  scopes: ['coder:all'],
  allowList: binding.allowList ?? ['*:*'],
});

export interface BuildRunnerBinding {
  readonly workspaceId: string;
  readonly buildId: string;
  readonly jobId: string;
  readonly ownerId: string;
  readonly organizationId: string;
}

/**
 * Runs one build. Its allow-list holds exactly this workspace, job and owner, so that a bug in one build cannot touch
 * another's rows.
 */
export const buildRunner = (to: BuildRunnerBinding): Subject =>
  actor('build-runner', {
    organizationId: to.organizationId,
    allowList: [
      `workspace:${to.workspaceId}`,
      `provisioner_jobs:${to.jobId}`,
      `user:${to.ownerId}`,
      `organization:${to.organizationId}`,
      ...['template', 'file', 'group', 'organization_member', 'api_key', 'notification_message', 'task'].map(anyOf),
      ...['workspace_agent_resource_monitor', 'workspace_agent_devcontainers'].map(anyOf),
      ...['usage_event', 'ai_seat', 'audit_log'].map(anyOf),
    ],
  });

function anyOf(type: string): string {
  return `${type}:*`;
}

/** Imports one template version, or runs one dry run of it. */
export const templateImporter = (to: { versionId: string; jobId: string; organizationId: string }): Subject =>
  actor('template-importer', {
    organizationId: to.organizationId,
    allowList: [
      `provisioner_jobs:${to.jobId}`,
      `organization:${to.organizationId}`,
      ...['file', 'template', 'notification_message', 'audit_log'].map(anyOf),
    ],
  });

/** Autostart, autostop, dormancy and automatic deletion; writes only the candidates of its tick. */
export const autobuild = (to: { workspaceIds: readonly string[] }): Subject =>
  actor('autobuild', {
    allowList: [
      ...to.workspaceIds.map((id) => `workspace:${id}`),
      ...['template', 'user', 'organization_member', 'file', 'provisioner_jobs'].map(anyOf),
      ...['notification_message', 'audit_log'].map(anyOf),
    ],
  });

/** Keeps the pools of one organization; owns what the prebuilds user owns, so a claimed workspace is out of reach. */
export const prebuildsOrchestrator = (to: { organizationId: string }): Subject =>
  actor('prebuilds-orchestrator', { id: PREBUILDS_SYSTEM_USER_ID, organizationId: to.organizationId });

/** The claim inside a user's request: may take prebuilds of that organization, nothing else. */
export const prebuildClaimer = (to: { organizationId: string }): Subject =>
  actor('prebuild-claimer', { id: PREBUILDS_SYSTEM_USER_ID, organizationId: to.organizationId });

/** The sweep: starts what was not started, ends what was lost. */
export const jobJanitor = (): Subject => actor('job-janitor');

/** Routes authenticated by an agent token: this agent's workspace only. */
export const agentApi = (to: {
  workspaceId: string;
  agentId: string;
  ownerId: string;
  organizationId: string;
}): Subject => actor('agent-api', { organizationId: to.organizationId, allowList: [`workspace:${to.workspaceId}`] });

/** Assembles the manifest: the secrets of the workspace's current owner. */
export const secretInjector = (to: { ownerId: string }): Subject =>
  actor('secret-injector', { id: to.ownerId, allowList: ['user_secret:*'] });

export const resourceMonitor = (to: { agentId: string }): Subject =>
  actor('resource-monitor', {
    allowList: [`workspace_agent_resource_monitor:${to.agentId}`, 'notification_message:*'],
  });

export const notifier = (to: { messageId: string }): Subject =>
  actor('notifier', {
    allowList: [
      `notification_message:${to.messageId}`,
      ...['inbox_notification', 'notification_template', 'notification_preference', 'user'].map(anyOf),
    ],
  });

/** Login and key check, before there is a user to act as. */
export const authenticator = (): Subject => actor('authenticator');
export const healthReader = (): Subject => actor('health-reader');
export const workerRegistry = (to: { daemonId: string }): Subject =>
  actor('worker-registry', { allowList: [`provisioner_daemon:${to.daemonId}`] });
export const metricsReader = (): Subject => actor('metrics-reader');
export const usageTracker = (to: { workspaceIds: readonly string[] }): Subject =>
  actor('usage-tracker', { allowList: to.workspaceIds.map((id) => `workspace:${id}`) });
export const purger = (): Subject => actor('purger');
/** First user; its command runs only while no human user exists. */
export const bootstrap = (): Subject => actor('bootstrap');

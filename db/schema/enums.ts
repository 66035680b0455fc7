import { pgEnum } from 'drizzle-orm/pg-core';
import { agentLifecycleStates } from '../../domain/agent-lifecycle.ts';

/** Enumerations with the exact values of spec/01 §0.2. */
export const userStatus = pgEnum('user_status', ['active', 'suspended', 'dormant']);
export const loginType = pgEnum('login_type', ['password', 'github', 'oidc', 'token', 'none']);
export const appSharingLevel = pgEnum('app_sharing_level', ['owner', 'authenticated', 'organization', 'public']);
export const shareableWorkspaceOwners = pgEnum('shareable_workspace_owners', ['none', 'everyone', 'service_accounts']);
export const automaticUpdates = pgEnum('automatic_updates', ['always', 'never']);
export const corsBehavior = pgEnum('cors_behavior', ['simple', 'passthru']);
/** Where a version of a state comes from: a build's run, or an operator who gave, restored, edited or forgot it. */
export const stateSource = pgEnum('state_source', ['build', 'upload', 'restore', 'forget', 'orphan']);
export const workspaceTransition = pgEnum('workspace_transition', ['start', 'stop', 'delete']);
export const provisionerJobType = pgEnum('provisioner_job_type', [
  'template_version_import',
  'workspace_build',
  'template_version_dry_run',
]);
export const provisionerJobStatus = pgEnum('provisioner_job_status', [
  'pending',
  'running',
  'succeeded',
  'canceling',
  'canceled',
  'failed',
  'unknown',
]);
export const provisionerType = pgEnum('provisioner_type', ['terraform', 'echo']);
export const provisionerStorageMethod = pgEnum('provisioner_storage_method', ['file']);
export const provisionerJobTimingStage = pgEnum('provisioner_job_timing_stage', ['init', 'plan', 'graph', 'apply']);
export const logLevel = pgEnum('log_level', ['trace', 'debug', 'info', 'warn', 'error']);
export const logSource = pgEnum('log_source', ['provisioner_daemon', 'provisioner']);
export const buildReason = pgEnum('build_reason', [
  'initiator',
  'autostart',
  'autostop',
  'dormancy',
  'failedstop',
  'autodelete',
  'dashboard',
  'cli',
  'ssh_connection',
  'vscode_connection',
  'jetbrains_connection',
  'task_auto_pause',
  'task_manual_pause',
  'task_resume',
]);
export const prebuildStatus = pgEnum('prebuild_status', ['normal', 'hard_limited', 'validation_failed']);
export const prebuildStage = pgEnum('prebuild_stage', ['none', 'create', 'claim']);
export const agentLifecycleState = pgEnum('workspace_agent_lifecycle_state', agentLifecycleStates);
export const agentSubsystem = pgEnum('workspace_agent_subsystem', ['envbuilder', 'envbox', 'exectrace']);
export const agentKeyScope = pgEnum('agent_key_scope_enum', ['all', 'no_user_data']);
export const displayApp = pgEnum('display_app', [
  'vscode',
  'vscode_insiders',
  'web_terminal',
  'ssh_helper',
  'port_forwarding_helper',
]);
export const workspaceAppHealth = pgEnum('workspace_app_health', ['disabled', 'initializing', 'healthy', 'unhealthy']);
export const workspaceAppOpenIn = pgEnum('workspace_app_open_in', ['tab', 'window', 'slim-window']);
export const appStatusState = pgEnum('workspace_app_status_state', ['working', 'complete', 'failure', 'idle']);
export const scriptTimingStage = pgEnum('workspace_agent_script_timing_stage', ['start', 'stop', 'cron']);
export const scriptTimingStatus = pgEnum('workspace_agent_script_timing_status', [
  'ok',
  'exit_failure',
  'timed_out',
  'pipes_left_open',
]);
export const aiSeatEvent = pgEnum('ai_seat_usage_reason', ['aibridge', 'task']);
export const notificationMethod = pgEnum('notification_method', ['smtp', 'webhook', 'inbox']);
export const notificationMessageStatus = pgEnum('notification_message_status', [
  'pending',
  'leased',
  'sent',
  'temporary_failure',
  'permanent_failure',
  'inhibited',
]);
export const agentMonitorState = pgEnum('workspace_agent_monitor_state', ['OK', 'NOK']);
export const parameterFormType = pgEnum('parameter_form_type', [
  '',
  'error',
  'radio',
  'dropdown',
  'input',
  'textarea',
  'slider',
  'checkbox',
  'switch',
  'tag-select',
  'multi-select',
]);
export const auditAction = pgEnum('audit_action', [
  'create',
  'write',
  'delete',
  'start',
  'stop',
  'login',
  'logout',
  'register',
  'request_password_reset',
  'connect',
  'disconnect',
  'open',
  'close',
]);
export const groupSource = pgEnum('group_source', ['user', 'oidc']);

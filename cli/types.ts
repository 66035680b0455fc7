import type { z } from 'zod';
import type { JobLog as JobLogSchema } from '../api/job-logs.ts';
import type { ExternalAgentCredentialsBody } from '../api/routes/external-agents.ts';
import type { GroupBody } from '../api/routes/groups.ts';
import type { DailyActivityBody } from '../api/routes/insights.ts';
import type { InboxBody, InboxNotificationBody } from '../api/routes/notifications.ts';
import type { PrebuildPoolBody, PrebuildPoolsBody } from '../api/routes/prebuilds.ts';
import type { InvalidatedPresetsBody } from '../api/routes/templates.ts';
import type { UserSecretBody } from '../api/routes/user-secrets.ts';
import type { WorkspaceBuildUpdateBody } from '../api/routes/watch-builds.ts';
import type { WorkspaceQuotaBody } from '../api/routes/workspace-quota.ts';
import type { ProvisionerJobBody } from '../api/views/provisioner-job.ts';
import type { StateVersionBody } from '../api/views/state-version.ts';
import type { TemplateBody } from '../api/views/template.ts';
import type { TemplateVersionBody } from '../api/views/template-version.ts';
import type { User as UserSchema } from '../api/views/user.ts';
import type { WorkspaceAppBody } from '../api/views/workspace-app.ts';
import type { WorkspaceBuildBody } from '../api/views/workspace-build.ts';
import type { WorkspaceAgentBody, WorkspaceResourceBody } from '../api/views/workspace-resource.ts';
import type { WorkspaceBody } from '../api/views/workspace.ts';

/** Bodies as the routes declare them: types only, nothing of the server comes along. */
export type Group = GroupBody;
export type WorkspaceQuota = WorkspaceQuotaBody;
export type Workspace = WorkspaceBody;
export type WorkspaceBuild = WorkspaceBuildBody;
export type WorkspaceResource = WorkspaceResourceBody;
export type WorkspaceAgent = WorkspaceAgentBody;
export type WorkspaceApp = WorkspaceAppBody;
export type StateVersion = StateVersionBody;
export type ProvisionerJob = ProvisionerJobBody;
export type Template = TemplateBody;
export type DailyActivity = DailyActivityBody;
export type TemplateVersion = TemplateVersionBody;
export type JobLog = z.infer<typeof JobLogSchema>;
export type User = z.infer<typeof UserSchema>;
export type UserSecret = UserSecretBody;
export type InboxNotification = InboxNotificationBody;
export type Inbox = InboxBody;
export type PrebuildPool = PrebuildPoolBody;
export type PrebuildPools = PrebuildPoolsBody;
export type InvalidatedPresets = InvalidatedPresetsBody;
export type ExternalAgentCredentials = ExternalAgentCredentialsBody;
export type BuildUpdate = WorkspaceBuildUpdateBody;

/** A line of an agent's log (spec/05 §8). */
export interface AgentLog {
  readonly id: number;
  readonly created_at: string;
  readonly output: string;
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly source_id: string;
}
/** What an agent measures about itself (spec/05 §9); `age`, `interval` and `timeout` in seconds. */
export interface AgentMetadata {
  readonly result: {
    readonly collected_at: string;
    readonly age: number;
    readonly value: string;
    readonly error: string;
  };
  readonly description: {
    readonly display_name: string;
    readonly key: string;
    readonly script: string;
    readonly interval: number;
    readonly timeout: number;
  };
}

export interface ParameterValue {
  readonly name: string;
  readonly value: string;
}
/** Keys as clients know them (spec/06 §7). */
export interface Preset {
  readonly ID: string;
  readonly Name: string;
  readonly Default: boolean;
  readonly DesiredPrebuildInstances: number | null;
  readonly Description: string;
}
export interface TemplateVariable {
  readonly name: string;
  readonly description: string;
  readonly required: boolean;
  readonly value: string;
  readonly default_value: string;
}
export interface BuildInfo {
  readonly version: string;
  readonly external_url: string;
  readonly temporal_ui_url?: string;
  readonly temporal_namespace?: string;
}
export interface ApiKey {
  readonly id: string;
  readonly token_name: string;
  readonly created_at: string;
  readonly expires_at: string;
  readonly last_used: string;
  readonly scopes: readonly string[];
}

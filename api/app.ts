import { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiEnv, App, AppDeps } from './context.ts';
import { registerDocs } from './docs.ts';
import { handleError, handleNotFound, invalidRequest, zodValidations } from './errors.ts';
import { beginRequest, noteRoute } from './middleware/request.ts';
import { securityHeaders } from './middleware/security-headers.ts';
import { registerAgentAppRoutes } from './routes/agent-apps.ts';
import { registerAgentContainerRoutes } from './routes/agent-containers.ts';
import { registerAgentCredentialRoutes } from './routes/agent-credentials.ts';
import { registerAgentResourceRoutes } from './routes/agent-resources.ts';
import { registerAgentScriptTimingRoutes } from './routes/agent-script-timings.ts';
import { registerAgentTunnelRoutes } from './routes/agent-tunnels.ts';
import { registerInstanceIdentityRoutes } from './routes/instance-identity.ts';
import { registerSubAgentRoutes } from './routes/sub-agents.ts';
import { registerWorkspaceAgentRoutes } from './routes/workspace-agents.ts';
import { registerAgentManifestRoutes } from './routes/agent-manifest.ts';
import { registerAgentConnectRoutes } from './routes/agent-connect.ts';
import { registerAgentLogRoutes } from './routes/agent-logs.ts';
import { registerAgentMetadataRoutes } from './routes/agent-metadata.ts';
import { registerAgentStatsRoutes } from './routes/agent-stats.ts';
import { registerAgentReinitRoutes } from './routes/agent-reinit.ts';
import { registerAgentDownloadRoutes } from './routes/agent-downloads.ts';
import { registerApiKeyRoutes } from './routes/api-keys.ts';
import { registerAuditRoutes } from './routes/audit.ts';
import { registerBuildRepairRoutes } from './routes/build-repairs.ts';
import { registerGroupRoutes } from './routes/groups.ts';
import { registerInsightRoutes } from './routes/insights.ts';
import { registerLoginRoutes } from './routes/login.ts';
import { registerMemberRoutes } from './routes/members.ts';
import { registerNotificationRoutes } from './routes/notifications.ts';
import { registerOrganizationRoutes } from './routes/organizations.ts';
import { registerPrebuildRoutes } from './routes/prebuilds.ts';
import { registerUserSecretRoutes } from './routes/user-secrets.ts';
import { registerUserSettingRoutes } from './routes/user-settings.ts';
import { registerUserRoutes } from './routes/users.ts';
import { registerDryRunRoutes } from './routes/dry-runs.ts';
import { registerDynamicParameterRoutes } from './routes/dynamic-parameters.ts';
import { registerExternalAgentRoutes } from './routes/external-agents.ts';
import { registerFileRoutes } from './routes/files.ts';
import { registerProvisionerDaemonRoutes } from './routes/provisioner-daemons.ts';
import { registerProvisionerJobRoutes } from './routes/provisioner-jobs.ts';
import { registerTemplateAclRoutes } from './routes/template-acl.ts';
import { registerTemplateRoutes } from './routes/templates.ts';
import { registerTemplateVersionChildRoutes } from './routes/template-version-children.ts';
import { registerTemplateVersionStateRoutes } from './routes/template-version-states.ts';
import { registerTemplateVersionRoutes } from './routes/template-versions.ts';
import { registerWatchBuildRoutes } from './routes/watch-builds.ts';
import { registerWatchWorkspaceRoutes } from './routes/watch-workspace.ts';
import { registerWorkspaceBuildChildRoutes } from './routes/workspace-build-children.ts';
import { registerWorkspaceBuildRoutes } from './routes/workspace-builds.ts';
import { registerWorkspaceLifecycleRoutes } from './routes/workspace-lifecycle.ts';
import { registerWorkspaceRoutes } from './routes/workspaces.ts';
import { registerWorkspaceStateRoutes } from './routes/workspace-states.ts';
import { registerWorkspaceQuotaRoutes } from './routes/workspace-quota.ts';
import { registerGeneralRoutes } from './routes/general.ts';
import { registerHealthRoutes } from './routes/health.ts';

/** One line per resource; fixed paths come before those with a parameter in the same place. */
const resources: readonly ((app: App, deps: AppDeps) => void)[] = [
  registerHealthRoutes,
  registerGeneralRoutes,
  registerAgentDownloadRoutes,
  registerLoginRoutes,
  registerUserRoutes,
  registerUserSettingRoutes,
  registerUserSecretRoutes,
  registerNotificationRoutes,
  registerApiKeyRoutes,
  registerOrganizationRoutes,
  registerMemberRoutes,
  registerWorkspaceQuotaRoutes,
  registerGroupRoutes,
  registerAuditRoutes,
  registerFileRoutes,
  registerTemplateRoutes,
  registerTemplateAclRoutes,
  registerInsightRoutes,
  registerPrebuildRoutes,
  registerTemplateVersionRoutes,
  registerTemplateVersionStateRoutes,
  registerTemplateVersionChildRoutes,
  registerDynamicParameterRoutes,
  registerDryRunRoutes,
  registerProvisionerJobRoutes,
  registerProvisionerDaemonRoutes,
  registerWorkspaceRoutes,
  registerWorkspaceLifecycleRoutes,
  registerWorkspaceBuildRoutes,
  registerWorkspaceBuildChildRoutes,
  registerBuildRepairRoutes,
  registerWorkspaceStateRoutes,
  registerWatchWorkspaceRoutes,
  registerAgentReinitRoutes,
  registerAgentStatsRoutes,
  registerAgentMetadataRoutes,
  registerAgentLogRoutes,
  registerAgentConnectRoutes,
  registerAgentManifestRoutes,
  registerInstanceIdentityRoutes,
  registerAgentAppRoutes,
  registerAgentScriptTimingRoutes,
  registerAgentResourceRoutes,
  registerSubAgentRoutes,
  registerAgentCredentialRoutes,
  registerAgentTunnelRoutes,
  registerWorkspaceAgentRoutes,
  registerAgentContainerRoutes,
  registerWatchBuildRoutes,
  registerExternalAgentRoutes,
];

/** The whole HTTP API over the given dependencies; no port, no process state. */
export function createApp(deps: AppDeps): App {
  const app: App = new OpenAPIHono<ApiEnv>({
    defaultHook: (result, c) =>
      result.success ? undefined : c.json(invalidRequest(zodValidations(result.error)), 400),
  });
  app.use('*', beginRequest(deps));
  app.use('*', noteRoute);
  app.use('*', securityHeaders);
  app.onError(handleError);
  app.notFound(handleNotFound);
  for (const register of resources) register(app, deps);
  registerDocs(app);
  return app;
}

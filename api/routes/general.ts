import { z } from '@hono/zod-openapi';
import { checkAuthorizations } from '../../commands/check-authorizations.ts';
import { countWorkspacesByStatus } from '../../db/queries/deployment.ts';
import { getDeploymentId } from '../../db/queries/site-configs.ts';
import { enabledExperiments, entitlements, isExperiment, safeExperiments } from '../../domain/entitlements.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody } from '../schemas.ts';
import { version } from '../version.ts';

const BuildInfo = z
  .object({
    external_url: z.string(),
    version: z.string(),
    dashboard_url: z.string(),
    telemetry: z.boolean(),
    workspace_proxy: z.boolean(),
    agent_api_version: z.string(),
    provisioner_api_version: z.string(),
    upgrade_message: z.string(),
    deployment_id: z.string(),
    temporal_ui_url: z.string().openapi({ description: 'Temporal Web UI of this deployment; empty when not known' }),
    temporal_namespace: z.string(),
  })
  .openapi('BuildInfo');
const UpdateCheck = z.object({ current: z.boolean(), version: z.string(), url: z.string() }).openapi('UpdateCheck');
const Percentiles = z.object({ P50: z.number(), P95: z.number() });
const DeploymentStats = z
  .object({
    aggregated_from: z.string(),
    collected_at: z.string(),
    next_update_at: z.string(),
    workspaces: z.object({
      pending: z.number().int(),
      building: z.number().int(),
      running: z.number().int(),
      failed: z.number().int(),
      stopped: z.number().int(),
      connection_latency_ms: Percentiles,
      rx_bytes: z.number(),
      tx_bytes: z.number(),
    }),
    session_count: z.object({
      vscode: z.number().int(),
      ssh: z.number().int(),
      jetbrains: z.number().int(),
      reconnecting_pty: z.number().int(),
    }),
  })
  .openapi('DeploymentStats');
const Entitlements = z
  .object({
    features: z.record(z.string(), z.object({ entitlement: z.literal('entitled'), enabled: z.boolean() })),
    warnings: z.array(z.string()),
    errors: z.array(z.string()),
    has_license: z.boolean(),
    trial: z.boolean(),
    require_telemetry: z.boolean(),
    refreshed_at: z.string(),
  })
  .openapi('Entitlements');
const AuthCheck = z
  .object({
    checks: z.record(
      z.string(),
      z.object({
        object: z.object({
          resource_type: z.string(),
          owner_id: z.string().optional(),
          organization_id: z.string().optional(),
          resource_id: z.string().optional(),
          any_org: z.boolean().optional(),
        }),
        action: z.string(),
      }),
    ),
  })
  .openapi('AuthorizationRequest');

const get = { method: 'get', tags: ['General'] } as const;
const index = defineRoute({
  ...get,
  path: '/',
  access: 'public',
  summary: 'The API answers',
  responses: { 200: json(MessageResponse, 'A greeting') },
});
const buildInfo = defineRoute({
  ...get,
  path: '/buildinfo',
  access: 'public',
  summary: 'What this server is',
  responses: { 200: json(BuildInfo, 'Versions and addresses') },
});
const updateCheck = defineRoute({
  ...get,
  path: '/updatecheck',
  access: 'public',
  summary: 'Whether a newer release is known (no request leaves this host)',
  responses: { 200: json(UpdateCheck, 'This version is taken as current') },
});
const experiments = defineRoute({
  ...get,
  path: '/experiments',
  access: 'signed-in',
  summary: 'Experiments that are on',
  responses: { 200: json(z.array(z.string()), 'Names') },
});
const availableExperiments = defineRoute({
  ...get,
  path: '/experiments/available',
  access: 'signed-in',
  summary: 'Experiments that exist',
  responses: { 200: json(z.object({ safe: z.array(z.string()) }), 'Names') },
});
const getEntitlements = defineRoute({
  ...get,
  path: '/entitlements',
  access: 'signed-in',
  summary: 'Features: all of them, nothing is licensed',
  responses: { 200: json(Entitlements, 'Every feature is entitled and enabled') },
});
const licenses = defineRoute({
  ...get,
  path: '/licenses',
  access: 'signed-in',
  summary: 'Licenses: there are none',
  responses: { 200: json(z.array(z.string()), 'Always empty') },
});
const deploymentStats = defineRoute({
  ...get,
  path: '/deployment/stats',
  access: { type: 'deployment_stats', action: 'read' },
  summary: 'Counts of workspaces',
  responses: { 200: json(DeploymentStats, 'Counts') },
});
const authCheck = defineRoute({
  method: 'post',
  path: '/authcheck',
  access: 'signed-in',
  tags: ['General'],
  summary: 'Which of the named actions the caller may do',
  request: jsonBody(AuthCheck),
  responses: { 200: json(z.record(z.string(), z.boolean()), 'Answer per check') },
});

/** Counts are computed on demand; this tells clients how often to ask again. */
const statsIntervalMs = 60_000;

/** What the server is and can. Source: spec/06 §2, spec/07 "Scope". */
export function registerGeneralRoutes(app: App, deps: AppDeps): void {
  const { config, db } = deps;
  const active = enabledExperiments(config.CODER_EXPERIMENTS);
  const unknown = config.CODER_EXPERIMENTS.filter((name) => name !== '*' && !isExperiment(name));
  if (unknown.length > 0) deps.logger.warn({ experiments: unknown }, 'unknown experiments are ignored');

  app.openapi(index, (c) => c.json({ message: 'Berth: workspaces on durable workflows' }, 200));
  app.openapi(buildInfo, async (c) =>
    c.json(
      {
        external_url: config.CODER_ACCESS_URL,
        version,
        dashboard_url: config.CODER_ACCESS_URL,
        telemetry: false,
        workspace_proxy: false,
        agent_api_version: '2.0',
        provisioner_api_version: '1.0',
        upgrade_message: '',
        deployment_id: await getDeploymentId(db),
        temporal_ui_url: config.TEMPORAL_UI_URL ?? '',
        temporal_namespace: config.TEMPORAL_NAMESPACE,
      },
      200,
    ),
  );
  app.openapi(updateCheck, (c) => c.json({ current: true, version, url: '' }, 200));
  app.openapi(experiments, (c) => c.json(active, 200));
  app.openapi(availableExperiments, (c) => c.json({ safe: [...safeExperiments] }, 200));
  app.openapi(getEntitlements, (c) => c.json(entitlements(deps.now()), 200));
  app.openapi(licenses, (c) => c.json([], 200));
  app.openapi(deploymentStats, async (c) => {
    const counts = await countWorkspacesByStatus(db, c.var.subject);
    const now = deps.now();
    return c.json(
      {
        aggregated_from: now.toISOString(),
        collected_at: now.toISOString(),
        next_update_at: new Date(now.getTime() + statsIntervalMs).toISOString(),
        workspaces: { ...counts, connection_latency_ms: { P50: 0, P95: 0 }, rx_bytes: 0, tx_bytes: 0 },
        session_count: { vscode: 0, ssh: 0, jetbrains: 0, reconnecting_pty: 0 },
      },
      200,
    );
  });
  app.openapi(authCheck, async (c) =>
    c.json(await checkAuthorizations(deps, c.var.subject, c.req.valid('json').checks), 200),
  );
}

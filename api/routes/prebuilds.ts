import { z } from '@hono/zod-openapi';
import { pauseReconciliation } from '../../commands/prebuild-settings.ts';
import { retryPools } from '../../commands/retry-pools.ts';
import { type Pool, listReadablePools } from '../../db/queries/prebuild-pools.ts';
import { isReconciliationPaused } from '../../db/queries/prebuild-settings.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, timestamp, toWireTimeOrNull, uuid } from '../schemas.ts';

const PrebuildsSettings = z.object({ reconciliation_paused: z.boolean() }).openapi('PrebuildsSettings');
const count = (description: string) => z.number().int().openapi({ description });
const PrebuildPool = z
  .object({
    organization_id: uuid(),
    organization_name: z.string(),
    template_id: uuid(),
    template_name: z.string(),
    template_version_id: uuid(),
    template_version_name: z.string(),
    preset_id: uuid(),
    preset_name: z.string(),
    desired: count('wanted now; schedules count'),
    running: count('started, expired ones included'),
    eligible: count('of these ready to be claimed'),
    expired: count('of these too old, or invalidated'),
    starting: count('being made'),
    deleting: count('being deleted'),
    failed: count('kept though their start failed'),
    status: z.enum(['normal', 'hard_limited', 'validation_failed']),
    status_detail: z.string(),
    last_invalidated_at: timestamp().nullable(),
  })
  .openapi('PrebuildPool');
const PrebuildPools = z
  .object({ reconciliation_paused: z.boolean(), pools: z.array(PrebuildPool) })
  .openapi('PrebuildPools');
export type PrebuildPoolsBody = z.infer<typeof PrebuildPools>;
export type PrebuildPoolBody = z.infer<typeof PrebuildPool>;

const tags = ['Prebuilds'];
const list = defineRoute({
  method: 'get',
  path: '/prebuilds',
  tags,
  summary: 'Pools of the active versions of templates that the caller may read',
  access: { type: 'template', action: 'read' },
  responses: { 200: json(PrebuildPools, 'Pools') },
});
const getSettings = defineRoute({
  method: 'get',
  path: '/prebuilds/settings',
  tags,
  summary: 'Whether the reconciliation of pools is paused',
  access: 'signed-in',
  responses: { 200: json(PrebuildsSettings, 'Settings') },
});
const putSettings = defineRoute({
  method: 'put',
  path: '/prebuilds/settings',
  tags,
  summary: 'Pause or resume the reconciliation of pools',
  access: { type: 'deployment_config', action: 'update' },
  auditFailure: { resourceType: 'prebuilds_settings', action: 'write' },
  request: jsonBody(PrebuildsSettings),
  responses: { 200: json(PrebuildsSettings, 'Changed'), 304: { description: 'It was so already' } },
});
const reconcile = defineRoute({
  method: 'post',
  path: '/templates/{template}/prebuilds/reconcile',
  tags,
  summary: 'Forget the failures of the pools of the active version and reconcile them now',
  access: { type: 'template', action: 'update' },
  auditFailure: { resourceType: 'template', action: 'write', param: 'template' },
  request: { params: z.object({ template: uuid() }) },
  responses: { 202: json(MessageResponse, 'Asked for') },
});

const poolView = (pool: Pool): PrebuildPoolBody => ({
  organization_id: pool.organizationId,
  organization_name: pool.organizationName,
  template_id: pool.templateId,
  template_name: pool.templateName,
  template_version_id: pool.versionId,
  template_version_name: pool.versionName,
  preset_id: pool.presetId,
  preset_name: pool.presetName,
  desired: pool.desired,
  running: pool.running,
  eligible: pool.eligible,
  expired: pool.expired,
  starting: pool.starting,
  deleting: pool.deleting,
  failed: pool.failed,
  status: pool.status,
  status_detail: pool.statusDetail,
  last_invalidated_at: toWireTimeOrNull(pool.lastInvalidatedAt),
});

/** Pools of prebuilt workspaces, as those who keep them see them. Source: spec/03 §12. */
export function registerPrebuildRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  app.openapi(list, async (c) => {
    const [paused, pools] = await Promise.all([
      isReconciliationPaused(db),
      listReadablePools(db, c.var.subject, deps.now()),
    ]);
    return c.json({ reconciliation_paused: paused, pools: pools.map(poolView) }, 200);
  });
  app.openapi(getSettings, async (c) => c.json({ reconciliation_paused: await isReconciliationPaused(db) }, 200));
  app.openapi(putSettings, async (c) => {
    const settings = c.req.valid('json');
    const changed = await pauseReconciliation(deps, callerOf(c), settings.reconciliation_paused);
    return changed ? c.json(settings, 200) : c.body(null, 304);
  });
  app.openapi(reconcile, async (c) => {
    await retryPools(deps, callerOf(c), c.req.valid('param').template);
    return c.json({ message: 'The pools of the template are being reconciled' }, 202);
  });
}

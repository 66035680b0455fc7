import { z } from '@hono/zod-openapi';
import { findMember } from '../../db/queries/members.ts';
import { getOrganizationByRef } from '../../db/queries/organizations.ts';
import { findQuota } from '../../db/queries/quota.ts';
import { getUserByRef } from '../../db/queries/users.ts';
import { notFound } from '../../domain/errors.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, organizationRef, userRef } from '../schemas.ts';

const WorkspaceQuota = z
  .object({
    credits_consumed: z.number().int().openapi({ description: 'What the workspaces cost a day' }),
    budget: z.number().int().openapi({ description: 'Allowances of all groups; -1 = quota is switched off here' }),
  })
  .openapi('WorkspaceQuota');
export type WorkspaceQuotaBody = z.infer<typeof WorkspaceQuota>;

const get = defineRoute({
  method: 'get',
  path: '/organizations/{organization}/members/{user}/workspace-quota',
  access: { type: 'user', action: 'read' },
  tags: ['Members'],
  summary: 'Budget of a member, and what the workspaces of the member consume of it',
  request: { params: z.object({ organization: organizationRef(), user: userRef() }) },
  responses: { 200: json(WorkspaceQuota, 'Quota') },
});

/** For the user and those who may read all users; of the prebuilds user too, whose quota the pools consume. Source: spec/04 §10. */
export function registerWorkspaceQuotaRoutes(app: App, { db, config }: AppDeps): void {
  app.openapi(get, async (c) => {
    const { subject } = c.var;
    const param = c.req.valid('param');
    const { id: organizationId } = await getOrganizationByRef(db, subject, param.organization);
    const user = await getUserByRef(db, subject, param.user, { includeSystem: true });
    if ((await findMember(db, organizationId, user.id)) === undefined) throw notFound();
    const { budget, consumed } = await findQuota(db, { ownerId: user.id, organizationId });
    return c.json({ credits_consumed: consumed, budget: config.CODER_QUOTA_ENABLED ? budget : -1 }, 200);
  });
}

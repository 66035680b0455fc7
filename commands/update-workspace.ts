import { eq } from 'drizzle-orm';
import { authorizeWorkspace } from '../domain/authorization.ts';
import { nextStartAt } from '../domain/autostart.ts';
import { DomainError, invalidField, notFound } from '../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import { nameProblem } from '../domain/names.ts';
import { checkAutostart, checkTtl } from '../domain/workspace-settings.ts';
import { type Db, transaction, violatedConstraint } from '../db/client.ts';
import { notify, workspacesChannel } from '../db/notifications.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { holdTemplateOf } from '../db/queries/templates.ts';
import { findLatestBuild } from '../db/queries/workspace-builds.ts';
import {
  type WorkspaceRow,
  findWorkspaceTemplate,
  lockWorkspace,
  setRunningDeadline,
} from '../db/queries/workspaces.ts';
import { workspaces } from '../db/schema/workspaces.ts';
import type { AccessDeps, Caller } from './caller.ts';

type Change = Partial<
  Pick<
    typeof workspaces.$inferInsert,
    'name' | 'ttlMs' | 'autostartSchedule' | 'nextStartAt' | 'automaticUpdates' | 'favorite'
  >
>;

/**
 * Holds the template, whose settings decide on the change, and locks a live workspace that the caller may change. An
 * unclaimed prebuild has no settings of its own (CONFLICT). Source: spec/06 §8.2.
 */
export async function lockForChange(tx: Db, caller: Caller, workspaceId: string): Promise<WorkspaceRow> {
  await holdTemplateOf(tx, workspaceId);
  const workspace = await lockWorkspace(tx, workspaceId);
  if (workspace === undefined) throw notFound();
  authorizeWorkspace(caller.subject, 'update', workspace);
  if (workspace.deleted) throw new DomainError('NOT_ALLOWED_STATE', 'The workspace is deleted');
  if (workspace.ownerId === PREBUILDS_SYSTEM_USER_ID)
    throw new DomainError('CONFLICT', 'A prebuilt workspace has no settings until it is claimed');
  return workspace;
}

/** Locks a workspace as above, applies `change` and audits the difference, in one transaction. */
async function change(
  deps: AccessDeps,
  caller: Caller,
  workspaceId: string,
  decide: (tx: Db, workspace: WorkspaceRow) => Promise<Change | undefined>,
): Promise<void> {
  const now = deps.now();
  await transaction(deps.db, async (tx) => {
    const workspace = await lockForChange(tx, caller, workspaceId);
    const values = await decide(tx, workspace);
    if (values === undefined) return;
    await tx
      .update(workspaces)
      .set({ ...values, updatedAt: now })
      .where(eq(workspaces.id, workspaceId))
      .catch((err: unknown) => {
        throw violatedConstraint(err) === 'workspaces_owner_name_idx'
          ? new DomainError('CONFLICT', 'The owner has another workspace of this name', {
              validations: [{ field: 'name', detail: 'is already taken' }],
            })
          : err;
      });
    await insertAudit(tx, {
      origin: caller.origin,
      time: now,
      resourceType: 'workspace',
      resourceId: workspaceId,
      resourceTarget: values.name ?? workspace.name,
      action: 'write',
      organizationId: workspace.organizationId,
      diff: auditDiff('workspace', workspace, { ...workspace, ...values }),
    });
    await notify(tx, workspacesChannel, workspaceId);
  });
}

export const createUpdateWorkspace = (deps: AccessDeps) => ({
  /** Empty or unchanged name: nothing happens. Refused where the deployment does not allow renames. */
  rename: (caller: Caller, workspaceId: string, name: string) =>
    change(deps, caller, workspaceId, async (_tx, workspace) => {
      if (name === '' || name === workspace.name) return undefined;
      if (!deps.config.CODER_ALLOW_WORKSPACE_RENAMES)
        throw new DomainError('INVALID_INPUT', 'This deployment does not allow to rename workspaces');
      const problem = nameProblem('workspace', name);
      if (problem !== undefined) throw invalidField('name', problem);
      return { name };
    }),

  /** null or 0 = off, not the template's default. A running build then stops only at its hard limit. */
  setTtl: (caller: Caller, workspaceId: string, ttlMs: number | null) =>
    change(deps, caller, workspaceId, async (tx, workspace) => {
      const template = await findWorkspaceTemplate(tx, workspaceId);
      if (!template.allowUserAutostop)
        throw invalidField('ttl_ms', 'the template does not allow a custom time to live');
      const value = ttlMs === null || ttlMs === 0 ? null : checkTtl(ttlMs);
      const latest = value === null ? await findLatestBuild(tx, workspaceId) : undefined;
      if (latest?.transition === 'start') {
        await setRunningDeadline(tx, latest.id);
        await notify(tx, workspacesChannel, workspaceId);
      }
      return value === workspace.ttlMs ? undefined : { ttlMs: value };
    }),

  /** null or '' = off, which is always allowed. A time of today that is past does not start it today. */
  setAutostart: (caller: Caller, workspaceId: string, schedule: string | null) =>
    change(deps, caller, workspaceId, async (tx, workspace) => {
      if (schedule === null || schedule === '')
        return workspace.autostartSchedule === null ? undefined : { autostartSchedule: null, nextStartAt: null };
      const template = await findWorkspaceTemplate(tx, workspaceId);
      if (!template.allowUserAutostart) throw invalidField('schedule', 'the template does not allow autostart');
      const autostartSchedule = checkAutostart(schedule);
      const next = nextStartAt({ ...template, ...workspace, autostartSchedule }, deps.now());
      return autostartSchedule === workspace.autostartSchedule && next?.getTime() === workspace.nextStartAt?.getTime()
        ? undefined
        : { autostartSchedule, nextStartAt: next };
    }),

  setAutomaticUpdates: (caller: Caller, workspaceId: string, automaticUpdates: 'always' | 'never') =>
    change(deps, caller, workspaceId, async (_tx, workspace) =>
      automaticUpdates === workspace.automaticUpdates ? undefined : { automaticUpdates },
    ),

  /** The owner's mark: nobody else may set it, whatever his rights. */
  setFavorite: (caller: Caller, workspaceId: string, favorite: boolean) =>
    change(deps, caller, workspaceId, async (_tx, workspace) => {
      if (workspace.ownerId !== caller.subject.id)
        throw new DomainError('FORBIDDEN', 'Only the owner of a workspace may mark it as a favorite');
      return favorite === workspace.favorite ? undefined : { favorite };
    }),
});

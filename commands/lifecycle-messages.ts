import type { Db } from '../db/client.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudits } from '../db/queries/audit-logs.ts';
import { markDormant } from '../db/queries/dormancy.ts';
import type { LifecycleRow } from '../db/queries/lifecycle.ts';
import { enqueueNotification } from '../db/queries/notification-messages.ts';
import type { BuildVersion } from '../db/queries/template-versions.ts';
import { notify, workspacesChannel } from '../db/notifications.ts';
import { authorizeWorkspace } from '../domain/authorization.ts';
import { dormantEventKey, notificationTemplates, relativeTime } from '../domain/notifications.ts';
import type { Subject } from '../domain/subject.ts';
import type { TransitionBatch } from './transition-workspaces.ts';

interface Context {
  readonly tx: Db;
  readonly batch: Pick<TransitionBatch, 'tick' | 'originFor'>;
  readonly subject: Subject;
}

const createdBy = 'autobuild';
const to = ({ workspace }: LifecycleRow) => ({
  userId: workspace.ownerId,
  targets: [workspace.id, workspace.ownerId, workspace.templateId, workspace.organizationId],
  createdBy,
  data: {},
});

/** Marks workspaces that nobody has used for long; audited, and their owners are told. Source: spec/04 §5.3. */
export async function markUnused({ tx, batch, subject }: Context, rows: readonly LifecycleRow[]): Promise<void> {
  if (rows.length === 0) return;
  for (const { workspace } of rows) authorizeWorkspace(subject, 'update', workspace);
  const { tick: now } = batch;
  const marked = await markDormant(
    tx,
    rows.map(({ workspace }) => workspace.id),
    now,
  );
  const rowOf = new Map(rows.map((row) => [row.workspace.id, row]));
  await insertAudits(
    tx,
    marked.map(({ id, dormantAt, deletingAt }) => {
      const { workspace } = rowOf.get(id)!;
      return {
        origin: batch.originFor(workspace.ownerId),
        time: now,
        resourceType: 'workspace',
        resourceId: id,
        resourceTarget: workspace.name,
        action: 'write' as const,
        organizationId: workspace.organizationId,
        diff: auditDiff('workspace', { ...workspace }, { ...workspace, dormantAt, deletingAt, nextStartAt: null }),
        additionalFields: { build_reason: 'dormancy' },
      };
    }),
  );
  for (const { id, dormantAt, deletingAt } of marked) {
    const row = rowOf.get(id)!;
    const unusedMs = now.getTime() - row.workspace.lastUsedAt.getTime();
    await enqueueNotification(tx, {
      ...to(row),
      template: notificationTemplates.workspaceDormant,
      eventKey: dormantEventKey(id, dormantAt),
      labels: {
        name: row.workspace.name,
        reason: `it was last used ${relativeTime(-unusedMs)}`,
        ...(deletingAt !== null && { timeTilDelete: relativeTime(deletingAt.getTime() - now.getTime()) }),
      },
      now,
    });
  }
  if (marked.length > 0) await notify(tx, workspacesChannel, marked.map(({ id }) => id).join(','));
}

export const tellReminder = ({ tx, batch: { tick: now } }: Context, row: LifecycleRow, deadline: Date) =>
  enqueueNotification(tx, {
    ...to(row),
    template: notificationTemplates.workspaceAutostopReminder,
    eventKey: `autostop-reminder:${row.build.id}:${deadline.toISOString()}`,
    labels: { workspace: row.workspace.name, timeTilShutdown: relativeTime(deadline.getTime() - now.getTime()) },
    now,
  });

export const tellUpdate = (
  { tx, batch: { tick: now } }: Context,
  row: LifecycleRow,
  { version, reason }: { version: BuildVersion; reason: string },
) =>
  enqueueNotification(tx, {
    ...to(row),
    template: notificationTemplates.workspaceAutoUpdated,
    eventKey: `auto-updated:${row.workspace.id}:${row.build.id}`,
    labels: {
      name: row.workspace.name,
      initiator: createdBy,
      reason,
      template_version_name: version.name,
      template_version_message: version.message === '' ? 'None provided' : version.message,
    },
    now,
  });

/** Once for each version that does not fit. */
export const tellMismatch = (
  { tx, batch: { tick: now } }: Context,
  row: LifecycleRow,
  { version, problem }: { version: BuildVersion; problem: string },
) =>
  enqueueNotification(tx, {
    ...to(row),
    template: notificationTemplates.workspaceAutobuildFailed,
    eventKey: `autobuild-impossible:${row.workspace.id}:${version.id}`,
    labels: { name: row.workspace.name, reason: problem, retry: 'Start it yourself to give what is missing.' },
    now,
  });

import { notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { findStateVersion } from '../db/queries/workspace-build-states.ts';
import { type StateDeps, auditState, getStateWorkspace } from './operator-state.ts';

/** Raw bytes of one version of a workspace's state, audited. Throws NOT_FOUND, GONE when it is no longer kept, STATE_DAMAGED. */
export const createReadStateVersion = (deps: StateDeps) =>
  async function readStateVersion(
    subject: Subject,
    input: { workspaceId: string; version: number; origin: AuditOrigin },
  ): Promise<Buffer> {
    const workspace = await getStateWorkspace(deps.db, subject, input.workspaceId);
    const state = await findStateVersion(deps.db, deps.cipher, input);
    if (state === undefined) throw notFound();
    const { buildId, version, bytes } = state;
    const fields = { state_read: true, state_version: version };
    await auditState(deps.db, deps, { origin: input.origin, workspace, buildId, fields });
    return bytes;
  };

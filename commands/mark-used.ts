import type { Db } from '../db/client.ts';
import { findAgentPlace } from '../db/queries/agent-places.ts';
import { findWorkspaceIncludingDeleted } from '../db/queries/workspaces.ts';
import { authorizeWorkspace } from '../domain/authorization.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../domain/ids.ts';
import type { Subject } from '../domain/subject.ts';

export interface MarkUsed {
  readonly workspaceId: string;
  /** Somebody works in it through this agent; undefined = it is only looked at from outside. */
  readonly agentId: string | undefined;
}

/** What gathers uses and writes them later (ingest/usage-tracker.ts). */
export interface UsageSink {
  used(workspaceId: string, at: Date): void;
  active(workspaceId: string, at: Date): void;
}

/**
 * A client says that a workspace is in use. Work in it also moves its deadline. A prebuild is in nobody's use: nothing happens.
 * Source: spec/04 §8.
 */
export const createMarkUsed = (deps: { readonly db: Db; readonly usage: UsageSink; now(): Date }) =>
  async function markUsed(subject: Subject, { workspaceId, agentId }: MarkUsed): Promise<void> {
    const { db, usage } = deps;
    const [workspace, place] = await Promise.all([
      findWorkspaceIncludingDeleted(db, workspaceId),
      agentId === undefined ? undefined : findAgentPlace(db, agentId),
    ]);
    if (workspace === undefined) throw notFound();
    authorizeWorkspace(subject, 'update', workspace);
    if (workspace.deleted) throw new DomainError('NOT_ALLOWED_STATE', 'The workspace is deleted');
    if (agentId !== undefined && place?.workspace.id !== workspaceId)
      throw new DomainError('NOT_FOUND', 'The workspace has no such agent');
    if (workspace.ownerId === PREBUILDS_SYSTEM_USER_ID) return;
    const now = deps.now();
    usage.used(workspaceId, now);
    if (agentId !== undefined) usage.active(workspaceId, now);
  };

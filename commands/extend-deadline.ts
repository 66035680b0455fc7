import { checkExtension } from '../domain/deadline-extension.ts';
import { transaction } from '../db/client.ts';
import { notify, workspacesChannel } from '../db/notifications.ts';
import { findLatestBuild } from '../db/queries/workspace-builds.ts';
import { moveDeadline } from '../db/queries/workspaces.ts';
import type { AccessDeps, Caller } from './caller.ts';
import { lockForChange } from './update-workspace.ts';

/**
 * Stops a running workspace at this instant instead, earlier or later. Nothing is told to watchers unless it was done. A bump by
 * activity at the same time does not undo it (db/queries/agent-stats.ts). Source: spec/04 §6.5.
 */
export const createExtendDeadline = (deps: AccessDeps) =>
  async function extendDeadline(caller: Caller, input: { workspaceId: string; deadline: Date }): Promise<void> {
    await transaction(deps.db, async (tx) => {
      const { id } = await lockForChange(tx, caller, input.workspaceId);
      const latest = await findLatestBuild(tx, id);
      checkExtension(latest, input.deadline, deps.now());
      await moveDeadline(tx, latest!.id, input.deadline);
      await notify(tx, workspacesChannel, id);
    });
  };

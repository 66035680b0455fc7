import { DomainError, notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import { transaction } from '../db/client.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { findStateFacts, insertStateVersion, keptStateVersions } from '../db/queries/state-versions.ts';
import { getBuildState } from '../db/queries/workspace-build-states.ts';
import { findBuild } from '../db/queries/workspace-builds.ts';
import { findWorkspaceIncludingDeleted } from '../db/queries/workspaces.ts';
import { packState } from '../db/state-contents.ts';
import {
  type StateDeps,
  auditState,
  authorOf,
  authorizeBuildState,
  lockForStateChange,
  readOperatorState,
} from './operator-state.ts';

async function getBuild({ db }: StateDeps, subject: Subject, buildId: string) {
  const build = await findBuild(db, buildId);
  if (build === undefined) throw notFound();
  await authorizeBuildState(db, subject, build.id);
  return build;
}

/**
 * Raw bytes of the build's newest state, audited; empty when it has none. Throws GONE when it is no longer kept, STATE_DAMAGED.
 * Source: spec/06 §9.
 */
export const createReadState = (deps: StateDeps) =>
  async function readState(subject: Subject, input: { buildId: string; origin: AuditOrigin }): Promise<Buffer> {
    const build = await getBuild(deps, subject, input.buildId);
    const state = await getBuildState(deps.db, deps.cipher, build.id);
    const workspace = (await findWorkspaceIncludingDeleted(deps.db, build.workspaceId))!;
    await auditState(deps.db, deps, { ...input, workspace, fields: { state_read: true } });
    return state?.bytes ?? Buffer.alloc(0);
  };

/**
 * Gives the build another state, as a version of its own. Throws GONE when the workspace is deleted or the build lies behind
 * the states that are kept, CONFLICT while a build of the workspace is active. Source: spec/06 §9.
 */
export const createReplaceState = (deps: StateDeps) =>
  async function replaceState(
    subject: Subject,
    input: { buildId: string; bytes: Buffer; origin: AuditOrigin },
  ): Promise<void> {
    const { workspaceId, ...build } = await getBuild(deps, subject, input.buildId);
    const content = await packState(readOperatorState(input.bytes));
    await transaction(deps.db, async (tx) => {
      const { workspace } = await lockForStateChange(tx, workspaceId);
      const version = await insertStateVersion(tx, deps.cipher, {
        workspaceId,
        buildId: build.id,
        source: 'upload',
        createdBy: authorOf(subject),
        content,
      });
      if ((await findStateFacts(tx, workspaceId, version))?.kept !== true)
        throw new DomainError('GONE', `Build ${build.buildNumber} is too old to be given a state`, {
          detail: `only the last ${keptStateVersions} versions of a workspace are kept; give it to the latest build`,
        });
      await auditState(tx, deps, { ...input, workspace, fields: { state_replaced: true, state_version: version } });
    });
  };

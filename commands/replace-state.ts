import { authorize, templateObject } from '../domain/authorization.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import { type Db, transaction } from '../db/client.ts';
import { type AuditOrigin, insertAudit } from '../db/queries/audit-logs.ts';
import { encodeState, getBuildState, replaceBuildState } from '../db/queries/workspace-build-states.ts';
import { findBuild, findLatestBuild, getBuildTemplate } from '../db/queries/workspace-builds.ts';
import { findWorkspaceIncludingDeleted, lockWorkspace } from '../db/queries/workspaces.ts';
import type { CommandDeps } from './deps.ts';
import { readOperatorState } from './request-build.ts';

type StateDeps = Pick<CommandDeps, 'db' | 'cipher' | 'now'>;

/** Only those who may update the template see or set a state; for everybody else it does not exist (spec/06 §9). */
async function authorizeState(db: Db, subject: Subject, buildId: string) {
  const build = await findBuild(db, buildId);
  if (build === undefined) throw notFound();
  try {
    authorize(subject, 'update', templateObject(await getBuildTemplate(db, buildId)));
  } catch {
    throw notFound();
  }
  return build;
}

/** Raw bytes of the build's own state, audited: the only read of the state column by a person. */
export const createReadState = (deps: StateDeps) =>
  async function readState(subject: Subject, input: { buildId: string; origin: AuditOrigin }): Promise<Buffer> {
    const build = await authorizeState(deps.db, subject, input.buildId);
    const state = await getBuildState(deps.db, deps.cipher, build.id);
    await auditState(deps.db, deps, { workspaceId: build.workspaceId, ...input, field: 'state_read' });
    return state?.bytes ?? Buffer.alloc(0);
  };

/** Replaces the build's state. CONFLICT while a build of the workspace is active. */
export const createReplaceState = (deps: StateDeps) =>
  async function replaceState(
    subject: Subject,
    input: { buildId: string; bytes: Buffer; origin: AuditOrigin },
  ): Promise<void> {
    const build = await authorizeState(deps.db, subject, input.buildId);
    const state = await encodeState(deps.cipher, { buildId: build.id, ...readOperatorState(input.bytes) });
    await transaction(deps.db, async (tx) => {
      await lockWorkspace(tx, build.workspaceId);
      if ((await findLatestBuild(tx, build.workspaceId))?.active === true)
        throw new DomainError('CONFLICT', 'A build of this workspace is active: its state cannot be replaced now');
      await replaceBuildState(tx, build.id, state);
      await auditState(tx, deps, { workspaceId: build.workspaceId, ...input, field: 'state_replaced' });
    });
  };

async function auditState(
  db: Db,
  deps: StateDeps,
  input: { workspaceId: string; buildId: string; origin: AuditOrigin; field: string },
): Promise<void> {
  const workspace = await findWorkspaceIncludingDeleted(db, input.workspaceId);
  await insertAudit(db, {
    origin: input.origin,
    time: deps.now(),
    resourceType: 'workspace_build',
    resourceId: input.buildId,
    resourceTarget: workspace?.name ?? '',
    action: 'write',
    ...(workspace !== undefined && { organizationId: workspace.organizationId }),
    additionalFields: { [input.field]: true },
  });
}

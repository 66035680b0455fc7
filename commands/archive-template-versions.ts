import { transaction } from '../db/client.ts';
import { archiveUnusedVersions, findVersionForBuild, updateVersion } from '../db/queries/template-versions.ts';
import { DomainError, notFound } from '../domain/errors.ts';
import { isActiveJob } from '../domain/jobs.ts';
import type { Caller } from './caller.ts';
import { type TemplateDeps, auditVersion, lockTemplateFor, lockVersionFor } from './template-row.ts';

/** Archives the template's versions that nothing uses; returns their ids. Source: spec/06 §6. */
export async function archiveTemplateVersions(
  deps: TemplateDeps,
  caller: Caller,
  input: { readonly templateId: string; readonly all: boolean },
): Promise<string[]> {
  return transaction(deps.db, async (tx) => {
    const template = await lockTemplateFor(tx, caller, { templateId: input.templateId, action: 'update' });
    const now = deps.now();
    const archived = await archiveUnusedVersions(tx, template, { failedOnly: !input.all, now });
    for (const version of archived)
      await auditVersion(
        tx,
        caller,
        { ...version, organizationId: template.organizationId },
        { action: 'write', now, before: { archived: false }, after: { archived: true } },
      );
    return archived.map(({ id }) => id).toSorted();
  });
}

/** Hides one version, or shows it again. Throws INVALID_INPUT when it is active, unfinished or already so. */
export async function setVersionArchived(
  deps: TemplateDeps,
  caller: Caller,
  input: { readonly versionId: string; readonly archived: boolean },
): Promise<void> {
  const found = await findVersionForBuild(deps.db, input.versionId);
  if (found === undefined) throw notFound();
  await transaction(deps.db, async (tx) => {
    const { version, template } = await lockVersionFor(tx, caller, {
      versionId: found.id,
      templateId: found.templateId,
    });
    const problem = archiveProblem(version, {
      wanted: input.archived,
      active: template?.activeVersionId === version.id,
    });
    if (problem !== undefined) throw new DomainError('INVALID_INPUT', problem);
    const now = deps.now();
    const change = { archived: input.archived };
    await updateVersion(tx, version.id, { ...change, updatedAt: now });
    await auditVersion(tx, caller, version, {
      action: 'write',
      now,
      before: version,
      after: { ...version, ...change },
    });
  });
}

function archiveProblem(
  version: { archived: boolean; jobStatus: Parameters<typeof isActiveJob>[0] },
  options: { wanted: boolean; active: boolean },
): string | undefined {
  if (!options.wanted) return version.archived ? undefined : 'The version is not archived';
  if (options.active) return 'The active version cannot be archived: promote another one first';
  if (version.archived) return 'The version is archived already';
  return isActiveJob(version.jobStatus) ? 'The import of the version has not finished' : undefined;
}

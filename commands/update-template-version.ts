import { transaction } from '../db/client.ts';
import { findVersionForBuild, updateVersion } from '../db/queries/template-versions.ts';
import { notFound } from '../domain/errors.ts';
import { nameProblem } from '../domain/names.ts';
import { type Caller, requireValid, withConflicts } from './caller.ts';
import { type TemplateDeps, auditVersion, lockVersionFor } from './template-row.ts';

/** Renames a version or changes its note; what is not given stays. Throws CONFLICT for a taken name. Source: spec/06 §7. */
export async function updateTemplateVersion(
  deps: TemplateDeps,
  caller: Caller,
  input: { readonly versionId: string; readonly name?: string | undefined; readonly message?: string | undefined },
): Promise<void> {
  const found = await findVersionForBuild(deps.db, input.versionId);
  if (found === undefined) throw notFound();
  await withConflicts({ template_versions_template_name_idx: 'name' }, () =>
    transaction(deps.db, async (tx) => {
      const { version } = await lockVersionFor(tx, caller, { versionId: found.id, templateId: found.templateId });
      const { name = version.name, message = version.message } = input;
      // A name that stays is not judged again: it may be older than the rules.
      if (name !== version.name) requireValid('name', nameProblem('templateVersion', name));
      if (name === version.name && message === version.message) return;
      const now = deps.now();
      await updateVersion(tx, version.id, { name, message, updatedAt: now });
      await auditVersion(tx, caller, version, { action: 'write', now, before: version, after: { ...version, name } });
    }),
  );
}

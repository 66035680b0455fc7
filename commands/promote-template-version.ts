import { transaction } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import { notifyTemplateWatchers } from '../db/queries/template-effects.ts';
import { lockVersion } from '../db/queries/template-versions.ts';
import { updateTemplate } from '../db/queries/templates.ts';
import { invalidField, notFound } from '../domain/errors.ts';
import type { Caller } from './caller.ts';
import { type TemplateDeps, auditTemplate, lockTemplateFor } from './template-row.ts';

/**
 * Makes a version the active one and tells the watchers of the template's workspaces, which are outdated now, and the
 * reconciler, for so are its prebuilds. The active version again: nothing happens. Throws NOT_FOUND (not of this template), INVALID_INPUT (archived, import not
 * succeeded). Source: spec/06 §6.2.
 */
export async function promoteTemplateVersion(
  deps: TemplateDeps,
  caller: Caller,
  input: { readonly templateId: string; readonly versionId: string },
): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const template = await lockTemplateFor(tx, caller, { templateId: input.templateId, action: 'update' });
    const version = await lockVersion(tx, input.versionId);
    if (version === undefined || version.templateId !== template.id) throw notFound();
    if (version.archived) throw invalidField('id', 'the version is archived');
    if (version.jobStatus !== 'succeeded')
      throw invalidField('id', `the import of the version has status ${version.jobStatus}`);
    if (template.activeVersionId === version.id) return;
    const now = deps.now();
    const change = { activeVersionId: version.id };
    await updateTemplate(tx, template.id, { ...change, updatedAt: now });
    await auditTemplate(tx, caller, template, {
      action: 'write',
      now,
      before: template,
      after: { ...template, ...change },
    });
    await notifyTemplateWatchers(tx, template.id);
    await notify(tx, prebuildsChannel, template.id);
  });
}

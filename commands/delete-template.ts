import { transaction } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import { countHumanWorkspaces, updateTemplate } from '../db/queries/templates.ts';
import { DomainError } from '../domain/errors.ts';
import type { Caller } from './caller.ts';
import { type TemplateDeps, auditTemplate, lockTemplateFor } from './template-row.ts';

/**
 * Soft delete; the name is free again. Refused while a person has a live workspace of it; prebuilds do not block, the
 * reconciler deletes them. Source: spec/06 §6.
 */
export async function deleteTemplate(deps: TemplateDeps, caller: Caller, templateId: string): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const template = await lockTemplateFor(tx, caller, { templateId, action: 'delete' });
    const workspaces = await countHumanWorkspaces(tx, template.id);
    if (workspaces > 0)
      throw new DomainError('INVALID_INPUT', 'The template is in use: delete its workspaces first', {
        detail: `${workspaces} live workspace${workspaces === 1 ? '' : 's'}`,
      });
    const now = deps.now();
    await updateTemplate(tx, template.id, { deleted: true, updatedAt: now });
    await auditTemplate(tx, caller, template, {
      action: 'delete',
      now,
      before: template,
      after: { ...template, deleted: true },
    });
    await notify(tx, prebuildsChannel, template.id);
  });
}

import { transaction } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import { invalidatePresets as markPresets } from '../db/queries/template-effects.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import type { Caller } from './caller.ts';
import { type TemplateDeps, lockTemplateFor } from './template-row.ts';

/** Declares all prebuilds of the active version's presets outdated; the reconciler replaces them. Source: spec/06 §6. */
export async function invalidatePresets(deps: TemplateDeps, caller: Caller, templateId: string) {
  return transaction(deps.db, async (tx) => {
    const template = await lockTemplateFor(tx, caller, { templateId, action: 'update' });
    const now = deps.now();
    const invalidated = await markPresets(tx, template.id, now);
    await insertAudit(tx, {
      origin: caller.origin,
      time: now,
      resourceType: 'template',
      resourceId: template.id,
      resourceTarget: template.name,
      resourceIcon: template.icon,
      organizationId: template.organizationId,
      action: 'write',
      additionalFields: { invalidated_presets: invalidated.map(({ presetName }) => presetName) },
    });
    if (invalidated.length > 0) await notify(tx, prebuildsChannel, template.id);
    return invalidated;
  });
}

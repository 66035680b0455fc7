import { transaction } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import { invalidatePresets as markPresets } from '../db/queries/template-effects.ts';
import type { Caller } from './caller.ts';
import { type TemplateDeps, auditPools, lockTemplateFor } from './template-row.ts';

/** Declares all prebuilds of the active version's presets outdated; the reconciler replaces them. Source: spec/06 §6. */
export async function invalidatePresets(deps: TemplateDeps, caller: Caller, templateId: string) {
  return transaction(deps.db, async (tx) => {
    const template = await lockTemplateFor(tx, caller, { templateId, action: 'update' });
    const now = deps.now();
    const invalidated = await markPresets(tx, template.id, now);
    const names = invalidated.map(({ presetName }) => presetName);
    await auditPools(tx, caller, template, { now, additionalFields: { invalidated_presets: names } });
    if (invalidated.length > 0) await notify(tx, prebuildsChannel, template.id);
    return invalidated;
  });
}

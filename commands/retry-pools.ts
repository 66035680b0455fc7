import { transaction } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import { resetPoolFailures } from '../db/queries/template-effects.ts';
import type { Caller } from './caller.ts';
import { type TemplateDeps, auditPools, lockTemplateFor } from './template-row.ts';

/**
 * Forgets that the pools of the active version have failed, whatever was the matter, and has them reconciled at once. What fails
 * again is given up again, by the same rules as before. Source: spec/03 §12.
 */
export async function retryPools(deps: TemplateDeps, caller: Caller, templateId: string): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const template = await lockTemplateFor(tx, caller, { templateId, action: 'update' });
    const now = deps.now();
    const retried = await resetPoolFailures(tx, template.id, now);
    await auditPools(tx, caller, template, { now, statusCode: 202, additionalFields: { retried_presets: retried } });
    if (retried.length > 0) await notify(tx, prebuildsChannel, template.id);
  });
}

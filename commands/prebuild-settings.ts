import { transaction } from '../db/client.ts';
import { notify, prebuildsChannel } from '../db/notifications.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import { setReconciliationPaused } from '../db/queries/prebuild-settings.ts';
import { authorize } from '../domain/authorization.ts';
import { NIL_UUID } from '../domain/ids.ts';
import type { AccessDeps, Caller } from './caller.ts';

/**
 * Makes the reconciler stand still or go on; going on, it looks at all pools at once. Builds that run and claims are not
 * concerned. false = it was so already (304). Source: spec/03 §12.
 */
export async function pauseReconciliation(
  deps: Pick<AccessDeps, 'db' | 'now'>,
  caller: Caller,
  paused: boolean,
): Promise<boolean> {
  authorize(caller.subject, 'update', { type: 'deployment_config' });
  return transaction(deps.db, async (tx) => {
    if (!(await setReconciliationPaused(tx, paused))) return false;
    await insertAudit(tx, {
      origin: caller.origin,
      time: deps.now(),
      resourceType: 'prebuilds_settings',
      resourceId: NIL_UUID,
      resourceTarget: 'prebuilds',
      action: 'write',
      diff: { reconciliation_paused: { old: !paused, new: paused, secret: false } },
    });
    if (!paused) await notify(tx, prebuildsChannel, 'resume');
    return true;
  });
}

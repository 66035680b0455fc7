import { sql } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { findSiteConfig } from './site-configs.ts';

const key = 'prebuilds_settings';
/** The one text per value: it is compared as it is stored. */
const textOf = (paused: boolean): string => JSON.stringify({ reconciliation_paused: paused });

/** Whether somebody has told the reconciler to change nothing. Never set = false. Source: spec/03 §9, §12. */
export const isReconciliationPaused = async (db: Db): Promise<boolean> =>
  (await findSiteConfig(db, key)) === textOf(true);

/** The setting, and the Terraform runs that all live workers take at once (spec/06 §11): where a cycle begins. */
export async function readReconciliation(db: Db): Promise<{ paused: boolean; liveSlots: number }> {
  const [row] = await db.execute<{ paused: boolean; live_slots: number }>(sql`
    select exists (select from site_configs where key = ${key} and value = ${textOf(true)}) as paused,
      (select coalesce(sum(slots), 0)::int from provisioner_daemons where last_seen_at > now() - interval '90 seconds') as live_slots`);
  return { paused: row?.paused === true, liveSlots: row?.live_slots ?? 0 };
}

/** false = it was so already, and nothing was written. */
export async function setReconciliationPaused(tx: Db, paused: boolean): Promise<boolean> {
  const rows = await tx.execute(sql`
    insert into site_configs (key, value)
    select ${key}, ${textOf(paused)} where ${paused} or exists (select from site_configs where key = ${key})
    on conflict (key) do update set value = excluded.value where site_configs.value <> excluded.value
    returning key`);
  return rows.length > 0;
}

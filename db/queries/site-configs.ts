import { eq, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import type { Db } from '../client.ts';
import { siteConfigs } from '../schema/users.ts';

export async function findSiteConfig(db: Db, key: string): Promise<string | undefined> {
  const [row] = await db.select({ value: siteConfigs.value }).from(siteConfigs).where(eq(siteConfigs.key, key));
  return row?.value;
}

export async function setSiteConfig(tx: Db, key: string, value: string): Promise<void> {
  await tx.insert(siteConfigs).values({ key, value }).onConflictDoUpdate({ target: siteConfigs.key, set: { value } });
}

/** Id of this deployment, made by whoever asks first. */
export async function getDeploymentId(db: Db): Promise<string> {
  const known = await findSiteConfig(db, 'deployment_id');
  if (known !== undefined) return known;
  const [row] = await db
    .insert(siteConfigs)
    .values({ key: 'deployment_id', value: randomUUID() })
    // A no-op update, so that the loser of a race gets the winner's id back.
    .onConflictDoUpdate({ target: siteConfigs.key, set: { value: sql`${siteConfigs.value}` } })
    .returning({ value: siteConfigs.value });
  return row!.value;
}

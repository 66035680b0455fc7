import { setTimeout as delay } from 'node:timers/promises';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { waitFor } from '../../toolchain/process.ts';
import { quantile, report } from '../report.ts';
import type { ClaimBed } from './bed.ts';

/** Without kicks a replacement waits for the next tick of the schedule: up to this, half of it on average. */
const tickMs = 60_000;
const settleMs = 15_000;

/**
 * From the claim's commit (its `claimed_at`, which is a little earlier) to its replacement's pending job, claims coming at random
 * times. The baseline is the reference's reconciler, which begins once a minute.
 */
export async function measureRefill(bed: ClaimBed, runs: number): Promise<void> {
  const { sql } = bed;
  // Pools that were emptied before are not filled again meanwhile.
  await sql`update template_version_presets set desired_instances = null`;
  const { templateId, claim } = await bed.fill({ ready: runs, pure: true });
  await bed.pause(false);
  // The workers still have the workflows of the claims before.
  await delay(settleMs);
  for (let index = 0; index < runs; index += 1) {
    await claim();
    await delay(100 + Math.random() * 1_400);
  }
  const made = () => sql<{ at: Date }[]>`
    select j.created_at as at from workspaces w join workspace_builds b on b.workspace_id = w.id and b.build_number = 1
    join provisioner_jobs j on j.id = b.job_id
    where w.template_id = ${templateId} and w.owner_id = ${PREBUILDS_SYSTEM_USER_ID}::uuid and j.job_status = 'pending'
    order by j.created_at`;
  await waitFor(async () => (await made()).length >= runs, 2 * tickMs, 200);
  await bed.pause(true);
  const claims = await sql<{ at: Date }[]>`
    select claimed_at as at from workspaces where template_id = ${templateId} and claimed_at is not null order by claimed_at`;
  const replacements = await made();
  if (replacements.length !== runs || claims.length !== runs)
    throw new Error(`${claims.length} claims of ${runs}, ${replacements.length} replacements`);
  const delays = claims.map(({ at }, index) => replacements[index]!.at.getTime() - at.getTime());
  for (const [name, q] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const)
    report({
      bench: 'claim',
      metric: `refill_${name}`,
      ours: quantile(delays, q),
      baseline: tickMs * q,
      n: runs,
      unit: 'ms',
    });
}

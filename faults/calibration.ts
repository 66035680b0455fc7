import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from './context.ts';
import { finishLife, undisturbed } from './judge.ts';
import { type Random, createRandom } from './random.ts';
import { type Run, type Transition, createRun } from './run.ts';
import { nearestRank } from './tally.ts';

/** How long a build of each transition usually takes here and now, from its request to its end, in milliseconds. */
export type BuildTimes = Readonly<Record<Transition, number>>;

/** Up to so long each build waits here: those of a round do not begin together either. */
const staggerMs = 2_000;

/**
 * Whole lives without a fault, as many at once as later. Throws when any of them has a finding: then the suite measures
 * something else than faults.
 */
export async function calibrate(context: Context, size: number): Promise<BuildTimes> {
  const runs = Array.from({ length: size }, (_, index) => {
    const name = `calm-${index}-${context.scenario}`.slice(0, 32);
    return createRun({ scenario: context.scenario, seed: 0, size, name });
  });
  await Promise.all(runs.map((run, index) => live(context, run, createRandom(index))));
  const builds = runs.flatMap((run) => run.builds);
  const rows = await context.stack.sql<{ id: string; overAtMs: number }[]>`
    select id, (extract(epoch from completed_at) * 1000)::float8 as "overAtMs"
    from provisioner_jobs where id = any(${builds.map(({ jobId }) => jobId)}::uuid[])`;
  const overAt = new Map(rows.map(({ id, overAtMs }) => [id, overAtMs]));
  const median = (wanted: Transition): number => {
    const those = builds.filter(({ transition }) => transition === wanted);
    return nearestRank(
      those.map(({ jobId, requestedAtMs }) => (overAt.get(jobId) ?? Number.NaN) - requestedAtMs),
      0.5,
    );
  };
  return { start: median('start'), stop: median('stop'), delete: median('delete') };
}

async function live(context: Context, run: Run, random: Random): Promise<void> {
  for (const transition of ['start', 'stop', 'delete'] as const) {
    await delay(random.between(0, staggerMs));
    await undisturbed(context, run, transition);
  }
  await finishLife(context, run, false);
  if (run.findings.length > 0)
    throw new Error(`without any fault: ${run.findings.map(({ kind, what }) => `${kind}: ${what}`).join('; ')}`);
}

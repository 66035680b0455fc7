import type { BuildRun } from '../db/queries/workspace-builds.ts';
import { asksQuota } from '../domain/quota.ts';
import { commitQuota } from './commit-quota.ts';
import type { JobRun } from './job-run.ts';
import { reportClaim } from './plan-claim.ts';
import { planTerraform } from './plan-terraform.ts';

const isAsked = ({ deps }: JobRun, { build, version }: BuildRun): boolean =>
  asksQuota({ ...build, quotaEnabled: deps.quotaEnabled, mayCost: version.references?.mayCost });

/** Whether something looks at the build's plan before it is applied; others plan and apply at once. Source: design §3. */
export const isPlannedFirst = (run: JobRun, found: BuildRun): boolean =>
  found.build.prebuildStage === 'claim' || isAsked(run, found);

/**
 * Plans a build for those who look at it: the quota, and what a claim changes. Nothing has begun until this is over: a run that
 * is cut off here is repeated. Answers the arguments that apply this plan. Throws RunFailed INSUFFICIENT_QUOTA.
 */
export async function planBuild(
  run: JobRun,
  found: BuildRun,
  at: { cwd: string; env: Record<string, string> },
): Promise<string[]> {
  run.log.stage('Planning infrastructure');
  const plan = await planTerraform(run, { name: 'build', ...at });
  if (found.build.prebuildStage === 'claim') await reportClaim(run, found, { plan, ...at });
  if (isAsked(run, found)) await commitQuota(run, found, plan.json);
  return ['apply', '-no-color', '-input=false', '-json', plan.file];
}

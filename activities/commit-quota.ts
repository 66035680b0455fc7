import { randomUUID } from 'node:crypto';
import { sqlState, transaction } from '../db/client.ts';
import { lockAttempt } from '../db/queries/job-attempts.ts';
import { findQuotaOf, lockQuota, setBuildCost } from '../db/queries/quota.ts';
import type { BuildRun } from '../db/queries/workspace-builds.ts';
import { type QuotaFacts, describeQuota, isWithinQuota, refusedText } from '../domain/quota.ts';
import { convertResources } from '../terraform/convert.ts';
import type { JsonObject } from '../terraform/json.ts';
import { planInstances } from '../terraform/plan.ts';
import { type JobRun, RunFailed, RunStopped, assertRunning } from './job-run.ts';

const lockNotAvailable = '55P03';

/**
 * Takes what the plan costs out of the owner's budget, before anything is changed. Safe to repeat: a run that was taken over asks
 * again and does not count itself. Throws RunFailed INSUFFICIENT_QUOTA, RunStopped. Source: spec/04 §10.
 */
export async function commitQuota(run: JobRun, found: BuildRun, plan: JsonObject): Promise<void> {
  const { log } = run;
  const cost = costOfPlan(found, plan);
  // Something stands there when the plan of an earlier attempt, or the prebuild that was claimed, did cost something.
  if (cost === 0 && found.build.dailyCost === 0) return;
  if (cost !== 0) log.stage('Commit quota');
  const facts = await decide(run, found, cost);
  if (cost === 0) return;
  const who = { owner: found.owner.username, organization: found.organization.name };
  for (const line of describeQuota(facts, who)) log.say('info', line);
  if (isWithinQuota(found.build.transition, facts)) return;
  log.say('warn', 'The budget does not allow it: nothing is changed.');
  throw new RunFailed(refusedText(facts, who), 'INSUFFICIENT_QUOTA');
}

function costOfPlan({ build, version }: BuildRun, plan: JsonObject): number {
  if (version.references === null) throw new RunFailed('the template version was never imported');
  const { references } = version;
  const { transition } = build;
  return convertResources({ instances: planInstances(plan), references, newId: randomUUID, transition }).dailyCost;
}

/** In one transaction, so that of two builds that fit only one by one the second sees the first. */
async function decide(run: JobRun, { build, workspace }: BuildRun, cost: number): Promise<QuotaFacts> {
  const { deps, job, log } = run;
  const { id: workspaceId, ownerId, organizationId } = workspace;
  const place = { ownerId, organizationId };
  for (;;) {
    assertRunning(run);
    try {
      return await transaction(deps.db, async (tx) => {
        await lockQuota(tx, place);
        if ((await lockAttempt(tx, job.id, job.attempt)) === undefined) throw new RunStopped('fenced');
        const facts = { cost, ...(await findQuotaOf(tx, { ...place, workspaceId, buildNumber: build.number })) };
        const granted = isWithinQuota(build.transition, facts);
        await setBuildCost(tx, { buildId: build.id, jobId: job.id, cost, granted });
        return facts;
      });
    } catch (err) {
      if (sqlState(err) !== lockNotAvailable) throw err;
      log.say('warn', 'Somebody else has been deciding about the quota of the owner for long; it is tried again.');
    }
  }
}

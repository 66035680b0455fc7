import type { Db } from '../db/client.ts';
import { findReplacementsOf, setClaimReport } from '../db/queries/claims.ts';
import { notifyTemplateAdmins } from '../db/queries/notification-messages.ts';
import type { BuildRun } from '../db/queries/workspace-builds.ts';
import { notificationTemplates } from '../domain/notifications.ts';
import { describeChanges, findChanges, findReplacements } from '../terraform/plan.ts';
import { type JobRun, RunStopped } from './job-run.ts';
import type { TerraformPlan } from './plan-terraform.ts';
import { readTerraform } from './terraform-command.ts';

/**
 * Looks at what the plan of a claim replaces; the build goes on whatever that is. What it finds is stored before Terraform changes
 * anything, because the run may be taken over by a worker that has not seen the plan. Source: spec/03 §14.
 */
export async function reportClaim(
  run: JobRun,
  { build }: BuildRun,
  { plan, cwd, env }: { plan: TerraformPlan; cwd: string; env: Record<string, string> },
): Promise<void> {
  const { log, job, deps } = run;
  const replacements = findReplacements(plan.json);
  const addresses = Object.keys(replacements);
  if (addresses.length > 0) {
    log.say(
      'warn',
      `The claim replaces resources, which takes the time that the prebuild should save: ${addresses.join(', ')}`,
    );
    const args = ['show', '-no-color', plan.file];
    for (const line of describeChanges(await readTerraform(run, { name: 'show-changes', args, cwd, env }), addresses))
      log.say('warn', run.redactor.redact(line));
  }
  const drift = build.handedOver ? findChanges(plan.json) : null;
  if (drift !== null && drift.length > 0) {
    const text = 'The agent was handed over before Terraform, and now Terraform changes what it should not';
    log.say('warn', `${text}: ${drift.join(', ')}`);
    deps.metrics.claimDrifted();
    deps.logger.warn({ build_id: build.id, drift }, text);
  }
  const report = { replacements: addresses.length > 0 ? replacements : null, drift };
  if (!(await setClaimReport(deps.db, { buildId: build.id, jobId: job.id, attempt: job.attempt, report })))
    throw new RunStopped('fenced');
}

/** Tells those who keep the template which resources its claims replace: once per claim, with its success. */
export async function tellReplacements(tx: Db, found: BuildRun, now: Date): Promise<void> {
  const { build, workspace, organization, owner, template, version } = found;
  const replacements = await findReplacementsOf(tx, build.id);
  if (replacements === null) return;
  const targets = [workspace.id, owner.id, template.id, version.id, organization.id];
  await notifyTemplateAdmins(tx, organization.id, {
    template: notificationTemplates.prebuildResourceReplaced,
    eventKey: `prebuild-replaced:${build.id}`,
    labels: {
      org: organization.name,
      workspace: workspace.name,
      template: template.name,
      template_version: version.name,
      preset: build.presetName,
      workspace_build_num: String(build.number),
      claimant: owner.username,
    },
    data: {
      replacements: Object.fromEntries(
        Object.entries(replacements).map(([address, paths]) => [address, paths.join(', ')]),
      ),
    },
    targets: build.presetId === null ? targets : [...targets, build.presetId],
    createdBy: 'prebuilds_reconciler',
    now,
  });
}

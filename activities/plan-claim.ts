import type { Db } from '../db/client.ts';
import { findReplacementsOf, setClaimReport } from '../db/queries/claims.ts';
import { notifyTemplateAdmins } from '../db/queries/notification-messages.ts';
import type { BuildRun } from '../db/queries/workspace-builds.ts';
import { notificationTemplates } from '../domain/notifications.ts';
import { describeChanges, findChanges, findReplacements, parsePlan, planSecrets } from '../terraform/plan.ts';
import { type JobRun, RunStopped } from './job-run.ts';
import { readTerraform, runTerraformCommand } from './terraform-command.ts';

const planFile = 'claim.tfplan';

/**
 * Plans the build of a claim and looks at what it replaces; the build goes on whatever that is. What it finds is stored before
 * Terraform changes anything, because the run may be taken over by a worker that has not seen the plan. Answers the arguments
 * that apply this plan. Source: spec/03 §14.
 */
export async function planClaim(
  run: JobRun,
  { build }: BuildRun,
  { cwd, env }: { cwd: string; env: Record<string, string> },
): Promise<string[]> {
  const { log, job, deps } = run;
  log.stage('Planning infrastructure');
  const args = ['plan', '-no-color', '-input=false', '-json', '-refresh=true', `-out=${planFile}`];
  await runTerraformCommand(run, { stage: 'plan', name: 'plan-claim', args, cwd, env });
  const show = (name: string, ...options: string[]) =>
    readTerraform(run, { name, args: ['show', ...options, planFile], cwd, env });
  const plan = parsePlan(await show('show-claim', '-json'));
  run.redactor.add(planSecrets(plan));
  const replacements = findReplacements(plan);
  const addresses = Object.keys(replacements);
  if (addresses.length > 0) {
    log.say(
      'warn',
      `The claim replaces resources, which takes the time that the prebuild should save: ${addresses.join(', ')}`,
    );
    for (const line of describeChanges(await show('show-claim-text', '-no-color'), addresses))
      log.say('warn', run.redactor.redact(line));
  }
  const drift = build.handedOver ? findChanges(plan) : null;
  if (drift !== null && drift.length > 0) {
    const text = 'The agent was handed over before Terraform, and now Terraform changes what it should not';
    log.say('warn', `${text}: ${drift.join(', ')}`);
    deps.metrics.claimDrifted();
    deps.logger.warn({ build_id: build.id, drift }, text);
  }
  const report = { replacements: addresses.length > 0 ? replacements : null, drift };
  if (!(await setClaimReport(deps.db, { buildId: build.id, jobId: job.id, attempt: job.attempt, report })))
    throw new RunStopped('fenced');
  return ['apply', '-no-color', '-input=false', '-json', planFile];
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

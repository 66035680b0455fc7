import type { ControlDeps, LifecycleDeps, PrebuildDeps, ProvisionerDeps, UpkeepDeps } from './deps.ts';
import { translateErrors } from './failures.ts';
import { createFinishJob } from './finish-job.ts';
import { beating } from './heartbeats.ts';
import { createPlanPrebuildCycle } from './plan-prebuild-cycle.ts';
import { createReconcilePools } from './reconcile-pools.ts';
import { createRunLifecyclePage } from './run-lifecycle-page.ts';
import { createRunUpkeep } from './run-upkeep.ts';
import { createTerraformActivities } from './run-terraform.ts';
import { createSweepPendingJobs } from './sweep-pending-jobs.ts';

/** Activities of the control worker: short database work and calls to Temporal. */
export const createControlActivities = (deps: ControlDeps & UpkeepDeps & PrebuildDeps & LifecycleDeps) =>
  translateErrors({
    finishJob: createFinishJob(deps),
    sweepPendingJobs: createSweepPendingJobs(deps),
    runUpkeep: createRunUpkeep(deps),
    planPrebuildCycle: beating(createPlanPrebuildCycle(deps)),
    reconcilePools: beating(createReconcilePools(deps)),
    runLifecyclePage: createRunLifecyclePage(deps),
  });

/** Activities of a provisioner worker: Terraform. */
export const createProvisionerActivities = (deps: ProvisionerDeps) => translateErrors(createTerraformActivities(deps));

export type Activities = ReturnType<typeof createControlActivities> & ReturnType<typeof createProvisionerActivities>;

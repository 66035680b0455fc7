export { buildWorkspace } from './build-workspace.ts';
export { claimPrebuild } from './claim-prebuild.ts';
export { dryRunTemplateVersion } from './dry-run-template-version.ts';
export { importTemplateVersion } from './import-template-version.ts';
export { reconcilePrebuilds } from './reconcile-prebuilds.ts';
export { runLifecycle } from './run-lifecycle.ts';
export { runUpkeep } from './run-upkeep.ts';
export { sweepPendingJobs } from './sweep-pending-jobs.ts';

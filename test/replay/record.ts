import { ApplicationFailure, Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../config.ts';
import { hostTaskQueue } from '../../domain/ids.ts';
import type { HeldBy } from '../../domain/lease.ts';
import type { JobOutcome } from '../../workflows/run-job.ts';
import { type WorkflowRig, nothingDue, nothingToDo, startWorkflowRig } from '../workflows/support.ts';

/**
 * Records histories for test/replay: `TEMPORAL_ADDRESS=… TEMPORAL_CLI_PATH=… npx tsx test/replay/record.ts <workflow>/<case> …`.
 * Only for new behaviour: a change that breaks a recorded history needs a patch in the workflow, not a new recording.
 */
interface Case {
  /** Body of each run of Terraform, by its number from 1; default: it succeeds. */
  readonly run?: (run: number) => Promise<JobOutcome>;
  /** Default: a build. */
  readonly start?: (rig: WorkflowRig) => Promise<WorkflowHandle>;
  readonly cancel?: true;
}
const fail = (type: string, held?: HeldBy): Promise<never> =>
  Promise.reject(ApplicationFailure.nonRetryable(type, type, ...(held === undefined ? [] : [held])));
const here: HeldBy = { hostId: 'here', resumeWithinMs: 60_000 };
/** Ends when the server cancels the activity, or has given it up because it does not heartbeat. */
const untilCanceled = async (options: { heartbeats: boolean }): Promise<JobOutcome> => {
  const beat = setInterval(() => options.heartbeats && Context.current().heartbeat(), 200);
  await Context.current().cancelled.catch(() => undefined);
  clearInterval(beat);
  return 'canceled';
};
const start = (workflow: string, id: string, input: object[]) => (rig: WorkflowRig) =>
  rig.client.workflow.start(workflow, { taskQueue: 'control', workflowId: id, args: input });
const job = { jobId: randomUUID(), taskQueue: 'control', priority: 2 };

const cases: Readonly<Record<string, Case>> = {
  'buildWorkspace/succeeded': {},
  'buildWorkspace/lease-held-then-succeeded': {
    run: async (run) => (run === 1 ? fail('UNAVAILABLE') : run === 2 ? fail('WORKER_STOPPED') : 'succeeded'),
  },
  'buildWorkspace/canceled-while-running': { run: () => untilCanceled({ heartbeats: true }), cancel: true },
  'buildWorkspace/canceled-while-pending': {
    start: (rig) => rig.startBuild({ taskQueue: 'nobody-polls-this' }),
    cancel: true,
  },
  'buildWorkspace/ended-by-the-workflow': { run: () => fail('NOT_FOUND') },
  'buildWorkspace/continued-after-a-lost-worker': {
    run: async (run) => (run === 1 ? untilCanceled({ heartbeats: false }) : 'succeeded'),
  },
  'buildWorkspace/taken-up-by-its-host': {
    run: async (run) =>
      run === 1 ? fail('WORKER_STOPPED', here) : run === 2 ? fail('WORKER_LOST', here) : 'succeeded',
  },
  'buildWorkspace/host-did-not-come-back': {
    run: async (run) => (run === 1 ? fail('WORKER_LOST', { hostId: 'nobody', resumeWithinMs: 1_500 }) : 'succeeded'),
  },
  'importTemplateVersion/succeeded': {
    start: start('importTemplateVersion', `import/${randomUUID()}`, [{ ...job, templateVersionId: randomUUID() }]),
  },
  'dryRunTemplateVersion/failed': {
    run: async () => 'failed',
    start: start('dryRunTemplateVersion', `dryrun/${randomUUID()}`, [job]),
  },
  'claimPrebuild/succeeded': {
    start: start('claimPrebuild', `build/${randomUUID()}`, [{ ...job, priority: 1, buildId: randomUUID() }]),
  },
  'runLifecycle/nothing-due': { start: start('runLifecycle', `lifecycle-${randomUUID()}`, []) },
  'runLifecycle/two-pages': {
    start: (rig) => {
      let pages = 0;
      rig.activities.runLifecyclePage = async () => {
        pages += 1;
        return { ...nothingDue, builds: pages, after: pages === 1 ? { at: '-infinity', id: randomUUID() } : null };
      };
      return start('runLifecycle', `lifecycle-${randomUUID()}`, [])(rig);
    },
  },
  'reconcilePrebuilds/nothing-to-do': { start: start('reconcilePrebuilds', `reconcile-${randomUUID()}`, []) },
  'reconcilePrebuilds/some-pools': {
    start: (rig) => {
      const items = Array.from({ length: 3 }, () => ({ presetId: randomUUID(), maxCreates: 1 }));
      rig.activities.planPrebuildCycle = async () => ({ ...nothingToDo, presetsReconciled: 3, items, concurrency: 2 });
      rig.activities.reconcilePools = async ({ pools: [pool] }) =>
        pool?.presetId === items[1]?.presetId
          ? fail('INVALID_INPUT')
          : { created: 1, deleted: 0, canceled: 0, errors: 0 };
      return start('reconcilePrebuilds', `reconcile-${randomUUID()}`, [])(rig);
    },
  },
  'runUpkeep/finished': { start: start('runUpkeep', `upkeep-${randomUUID()}`, []) },
  'sweepPendingJobs/nothing-to-do': { start: start('sweepPendingJobs', `sweep-${randomUUID()}`, []) },
};

const { TEMPORAL_ADDRESS: address = '127.0.0.1:7233', TEMPORAL_CLI_PATH: cli = 'temporal' } = loadConfig();
const rig = await startWorkflowRig(address, {
  workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
});
const hostWorker = await rig.pollQueue(hostTaskQueue(here.hostId));
for (const name of process.argv.slice(2)) {
  const found = cases[name];
  if (found === undefined) throw new Error(`no such case: ${name}. There are: ${Object.keys(cases).join(', ')}`);
  let runs = 0;
  rig.activities.runTerraform = () => (found.run ?? (async () => 'succeeded' as const))((runs += 1));
  const handle = await (found.start ?? ((of) => of.startBuild()))(rig);
  if (found.cancel) {
    await new Promise((done) => setTimeout(done, 1_000));
    await handle.cancel();
  }
  await handle.result();
  const path = join(dirname(fileURLToPath(import.meta.url)), 'histories', `${name}.json`);
  mkdirSync(dirname(path), { recursive: true });
  const show = ['workflow', 'show', '--workflow-id', handle.workflowId, '--output', 'json', '--address', address];
  const history = execFileSync(cli, [...show, '--namespace', rig.client.options.namespace]).toString();
  // Stack traces name this clone's place.
  writeFileSync(path, history.replaceAll(process.cwd(), '/berth'));
  console.log(path);
}
await hostWorker.stop();
await rig.stop();
process.exit(0);

import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { helpersOf, isRunning, signalAll, terraformOf } from '../process-table.ts';
import type { RequestedBuild, Run } from '../run.ts';
import { strikeScenario } from './strike-scenario.ts';

const buildTimeout = '18s';
const forceCancel = '3s';
/** More than usual: what hangs needs no processor. */
const slots = 10;
const lookEveryMs = 50;
/** Runs whose provider and provisioners were made to hang. */
const hung = new WeakSet<Run>();

/**
 * Providers and provisioners of a running apply stop for good: whoever continues them finds them stopped again. The time
 * limit has to end the job: an interrupt, which is in vain, then the kill; the state is kept and the reason says why.
 */
export const hang = strikeScenario({
  name: 'hang',
  fleet: {
    slots,
    settings: { CODER_BUILD_TIMEOUT: buildTimeout, CODER_PROVISIONER_FORCE_CANCEL_INTERVAL: forceCancel },
  },
  remark: `a build may take ${buildTimeout}, a cancel ${forceCancel}`,
  strike: {
    expected: ['failed', 'succeeded'],
    async strike({ context, accepted }) {
      await Promise.all((await accepted()).map(({ run, build }) => makeHang(context, run, build)));
    },
    async inspect(_round, { run, row }) {
      if (!hung.has(run)) return row.status === 'succeeded' ? [] : [{ kind: 'lost', what: 'failed without a fault' }];
      if (row.status !== 'failed') return [{ kind: 'wrong', what: `${row.status} although its provider hung` }];
      if (/time limit|timed out|timeout/i.test(row.error ?? '')) return [];
      return [{ kind: 'wrong', what: `the error does not name the time limit: ${row.error}` }];
    },
  },
});

/** Waits for the next moment at which a provisioner runs, stops everything but Terraform, and resolves once that is done. */
async function makeHang(context: Context, run: Run, build: RequestedBuild): Promise<void> {
  while (context.stack.watch.row(build.jobId)?.over !== true) {
    for (const { workRoot } of context.hosts) {
      const terraform = terraformOf(workRoot, build.jobId);
      const helpers = terraform === undefined ? [] : helpersOf(terraform);
      // A provisioner is a shell with a child; a provider alone may belong to a plan that is just over.
      if (terraform === undefined || helpers.length < 2) continue;
      signalAll(helpers, 'SIGSTOP');
      hung.add(run);
      run.notes.push(`terraform ${terraform.pid} hangs from ${new Date().toISOString()}`);
      void (async () => {
        for (; isRunning(terraform.pid); await delay(lookEveryMs)) signalAll(helpersOf(terraform), 'SIGSTOP');
      })();
      return;
    }
    await delay(lookEveryMs);
  }
}

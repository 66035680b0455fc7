import { Client, Connection } from '@temporalio/client';
import { CONTROL_TASK_QUEUE } from '../domain/ids.ts';
import { lifecycleScheduleId, triggerSchedule } from '../workers/schedules.ts';
import type { Context } from './context.ts';
import type { WorkflowRuns } from './lifecycle-oracle.ts';
import { demand, eventually } from './patience.ts';

const tickWithinMs = 60_000;
const awayForMs = 60_000;

/** Looks at the clock, and the workflows of builds, as Temporal has them. */
export interface Ticks {
  /** A tick now, or right after the one that goes on. */
  trigger(): Promise<void>;
  /** A tick beside those of the schedule. Answers how many builds it inserted. */
  force(workflowId: string): Promise<number>;
  /** True when a whole tick that begins after that comes to its end in time. */
  goOn(): Promise<boolean>;
  /** Of the builds of a template, or of these workspaces (`owner/name`). */
  workflowsOf(of: { template: string; workspaces: readonly string[] }): Promise<ReadonlyMap<string, WorkflowRuns>>;
  /** Ticks that began after that and came to no good end. */
  failedSince(ms: number): Promise<string[]>;
  close(): Promise<void>;
}

/** Asks again and again while Temporal is away. */
const insist = <T>(ask: () => Promise<T>): Promise<T> =>
  demand(
    'Temporal',
    async () => {
      try {
        return { answer: await ask() };
      } catch {
        return undefined;
      }
    },
    { boundMs: awayForMs, everyMs: 100 },
  ).then(({ answer }) => answer);

export async function watchTicks({ stack }: Context): Promise<Ticks> {
  const connection = await Connection.connect({ address: stack.services.temporal.address });
  const client = new Client({ connection });
  const trigger = () => insist(() => triggerSchedule(client, lifecycleScheduleId));
  const ticksSince = (ms: number) => `WorkflowType = 'runLifecycle' and StartTime >= '${new Date(ms).toISOString()}'`;
  const listed = (query: string) =>
    insist(async () => {
      const found: { workflowId: string; status: string }[] = [];
      for await (const { workflowId, status } of client.workflow.list({ query, pageSize: 1_000 }))
        found.push({ workflowId, status: status.name });
      return found;
    });
  return {
    trigger,
    async force(workflowId) {
      const args: [] = [];
      const options = { taskQueue: CONTROL_TASK_QUEUE, workflowId, args };
      const result: { builds: number } = await client.workflow.execute('runLifecycle', options);
      return result.builds;
    },
    async goOn() {
      const since = Date.now();
      await trigger();
      const query = `${ticksSince(since)} and ExecutionStatus = 'Completed'`;
      const done = await eventually(async () => (await insist(() => client.workflow.count(query))).count > 0, {
        boundMs: tickWithinMs,
        everyMs: 100,
      });
      return done === true;
    },
    async workflowsOf({ template, workspaces }) {
      const names = workspaces.map((name) => `'${name}'`).join(', ');
      const mine = workspaces.length === 0 ? '' : ` or BerthWorkspace in (${names})`;
      const all = new Map<string, WorkflowRuns>();
      for (const { workflowId, status } of await listed(`BerthTemplate = '${template}'${mine}`)) {
        const { runs, open } = all.get(workflowId) ?? { runs: 0, open: false };
        all.set(workflowId, { runs: runs + 1, open: open || status === 'RUNNING' });
      }
      return all;
    },
    async failedSince(ms) {
      const good = new Set(['RUNNING', 'COMPLETED', 'CONTINUED_AS_NEW']);
      const ticks = await listed(ticksSince(ms));
      return ticks
        .filter(({ status }) => !good.has(status))
        .map(({ workflowId, status }) => `${workflowId}: ${status}`);
    },
    close: () => connection.close(),
  };
}

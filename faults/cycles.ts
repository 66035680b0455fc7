import { Client, Connection } from '@temporalio/client';
import type { Context } from './context.ts';
import { patiently } from './pools.ts';
import { eventually } from './patience.ts';
import { prebuildsChannel } from '../db/notifications.ts';

const cycleWithinMs = 20_000;

/** Looks at the cycles of reconciliation as Temporal has them. */
export interface Cycles {
  /** Kicks; true when a whole cycle that begins after that comes to its end in time. */
  goOn(): Promise<boolean>;
  close(): Promise<void>;
}

export async function watchCycles({ stack }: Context): Promise<Cycles> {
  const connection = await Connection.connect({ address: stack.services.temporal.address });
  const client = new Client({ connection });
  return {
    async goOn() {
      const since = new Date().toISOString();
      await patiently(() => stack.sql`select pg_notify(${prebuildsChannel}, '')`);
      const query = `WorkflowType = 'reconcilePrebuilds' and ExecutionStatus = 'Completed' and StartTime > '${since}'`;
      const done = await eventually(async () => (await client.workflow.count(query)).count > 0, {
        boundMs: cycleWithinMs,
        everyMs: 100,
      });
      return done === true;
    },
    close: () => connection.close(),
  };
}

import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { settleBuild } from '../commands/settle-build.ts';
import { connect, transaction } from '../db/client.ts';
import { notifyJobEnd } from '../db/notifications.ts';
import { completeJob, takeJob } from '../db/queries/job-attempts.ts';
import { defaultQuietHours } from '../domain/quiet-hours.ts';
import type { Context } from './context.ts';

const deadlines = {
  quietHours: { defaultSchedule: defaultQuietHours, allowCustom: true },
  logger: pino({ level: 'silent' }),
};

/** Ends the builds that wait as successful runs without resources would: taken, completed, settled, at the database's present. */
export async function endWaitingBuilds({ stack }: Context, workspaceIds: readonly string[]): Promise<void> {
  const waiting = await stack.sql<{ id: string; jobId: string }[]>`
    select id, job_id as "jobId" from workspace_builds where active and workspace_id = any(${[...workspaceIds]}::uuid[])`;
  const database = connect(stack.services.postgres.address, { max: 1, applicationName: 'faults' });
  try {
    for (const { id, jobId } of waiting) {
      const who = { hostId: 'faults', workerId: randomUUID(), leaseMs: 60_000, takeOverAfterMs: 60_000 };
      const taken = await takeJob(database.db, { jobId, ...who });
      if (taken === undefined) throw new Error(`job ${jobId} is not to be had`);
      await transaction(database.db, async (tx) => {
        await completeJob(tx, { jobId, attempt: taken.attempt });
        await settleBuild(tx, id, { outcome: 'succeeded', started: true }, deadlines);
        await notifyJobEnd(tx, jobId, id);
      });
    }
  } finally {
    await database.close();
  }
}

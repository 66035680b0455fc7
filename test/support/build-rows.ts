import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { pino } from 'pino';
import { type DeadlineDeps, settleBuild } from '../../commands/settle-build.ts';
import type { Db } from '../../db/client.ts';
import { completeJob } from '../../db/queries/job-attempts.ts';
import {
  templateVersionParameters,
  templateVersionPresetParameters,
  templateVersionPresets,
} from '../../db/schema/templates.ts';
import { workspaceBuilds } from '../../db/schema/workspaces.ts';
import { defaultQuietHours } from '../../domain/quiet-hours.ts';
import type { JsonValue, TestApi } from './api.ts';
import { createTemplate } from './template-rows.ts';
import { takeAs } from './take.ts';

type Parameter = Partial<typeof templateVersionParameters.$inferInsert> & { readonly name: string };

/** Parameters of a version as its import would have stored them; a text parameter with a default unless stated. */
export async function insertParameters(db: Db, versionId: string, parameters: readonly Parameter[]): Promise<void> {
  await db.insert(templateVersionParameters).values(
    parameters.map((parameter) => ({
      templateVersionId: versionId,
      type: 'string',
      mutable: true,
      required: false,
      ...parameter,
    })),
  );
}

/** A preset of a version with its values. Answers its id. */
export async function insertPreset(
  db: Db,
  versionId: string,
  preset: { name: string; isDefault?: boolean; values: Readonly<Record<string, string>> },
): Promise<string> {
  const id = randomUUID();
  const { name, isDefault = false, values } = preset;
  await db
    .insert(templateVersionPresets)
    .values({ id, templateVersionId: versionId, name, isDefault, createdAt: new Date() });
  const rows = Object.entries(values).map(([key, value]) => ({ templateVersionPresetId: id, name: key, value }));
  if (rows.length > 0) await db.insert(templateVersionPresetParameters).values(rows);
  return id;
}

/** A template whose version has these parameters. */
export async function templateWith(
  api: TestApi,
  parameters: readonly Parameter[],
  body: Record<string, unknown> = {},
): Promise<JsonValue> {
  const template = await createTemplate(api, body);
  if (parameters.length > 0) await insertParameters(api.db, template.active_version_id, parameters);
  return template;
}

/** Takes a build's job as a worker would; answers the attempt. */
export async function takeBuild(db: Db, buildId: string, hostId = 'host'): Promise<{ jobId: string; attempt: number }> {
  const [build] = await db
    .select({ jobId: workspaceBuilds.jobId })
    .from(workspaceBuilds)
    .where(eq(workspaceBuilds.id, buildId));
  const taken = await takeAs(db, build!.jobId, hostId);
  if (taken === undefined) throw new Error(`build ${buildId} is not to be had`);
  return { jobId: build!.jobId, attempt: taken.attempt };
}

/** Ends a build as a run of it would, without resources; `now` is the instant at which the lifecycle sees it end. */
export async function endBuild(
  db: Db,
  buildId: string,
  {
    hostId,
    now,
    canceled = false,
    hasExternalAgent,
    ...end
  }: { error?: string; hostId?: string; now?: Date; canceled?: boolean; hasExternalAgent?: boolean } = {},
): Promise<void> {
  const taken = await takeBuild(db, buildId, hostId);
  const outcome = end.error !== undefined ? 'failed' : canceled ? 'canceled' : 'succeeded';
  await db.transaction(async (transaction) => {
    const tx = transaction as unknown as Db;
    await completeJob(tx, { ...taken, canceled, ...end });
    const columns = hasExternalAgent === undefined ? {} : { hasExternalAgent };
    await settleBuild(
      tx,
      buildId,
      { outcome, started: true, columns, ...(now !== undefined && { now }) },
      testDeadlines,
    );
  });
}

export const testDeadlines: DeadlineDeps = {
  quietHours: { defaultSchedule: defaultQuietHours, allowCustom: true },
  logger: pino({ level: 'silent' }),
};

import { and, eq, sql } from 'drizzle-orm';
import { createHash } from 'node:crypto';
import { NIL_UUID } from '../../domain/ids.ts';
import type { Subject } from '../../domain/subject.ts';
import { readableBy } from '../authorization-filter.ts';
import type { Db } from '../client.ts';
import { files } from '../schema/files.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templateVersions, templates } from '../schema/templates.ts';
import { templatesAllowing } from './templates.ts';

/** Stores an archive once per content and creator. `created` is false when it was there already. Source: spec/01 §2.4. */
export async function upsertFile(
  db: Db,
  file: { createdBy: string; mimetype: string; data: Buffer },
): Promise<{ id: string; hash: string; created: boolean }> {
  const hash = createHash('sha256').update(file.data).digest('hex');
  const [inserted] = await db
    .insert(files)
    .values({ ...file, hash, createdAt: sql`now()` })
    .onConflictDoNothing()
    .returning({ id: files.id });
  if (inserted !== undefined) return { id: inserted.id, hash, created: true };
  const [row] = await db
    .select({ id: files.id })
    .from(files)
    .where(and(eq(files.hash, hash), eq(files.createdBy, file.createdBy)));
  return { id: row!.id, hash, created: false };
}

export async function findFileOwner(db: Db, fileId: string) {
  const [row] = await db.select({ createdBy: files.createdBy }).from(files).where(eq(files.id, fileId));
  return row;
}

/** The only read of an archive's bytes. */
export async function getFile(db: Db, fileId: string) {
  const [row] = await db
    .select({ data: files.data, hash: files.hash, createdBy: files.createdBy, mimetype: files.mimetype })
    .from(files)
    .where(eq(files.id, fileId));
  return row;
}

/**
 * Whether the archive stands in an imported version that the subject administers: then it may be read whoever uploaded
 * it (spec/07 §4.2). A version without a template counts for whoever may author templates in its organization.
 */
export async function isInAdministeredVersion(db: Db, subject: Subject, fileId: string): Promise<boolean> {
  const inOrganization = readableBy(
    subject,
    'template',
    { id: templateVersions.id, organizationId: templateVersions.organizationId },
    'update',
  );
  const rows = await db
    .select({ id: templateVersions.id })
    .from(provisionerJobs)
    .innerJoin(templateVersions, eq(templateVersions.jobId, provisionerJobs.id))
    .leftJoin(templates, eq(templates.id, templateVersions.templateId))
    .where(
      and(
        eq(provisionerJobs.fileId, fileId),
        sql`case when ${templates.id} is null then ${inOrganization} else ${templatesAllowing(subject, 'update')} end`,
      ),
    )
    .limit(1);
  return rows.length > 0;
}

const agentType = 'text/javascript';

/** Keeps the agent of this version: machines that were made for it may start again long after an upgrade. */
export const storeAgentBundle = (db: Db, code: Buffer) =>
  upsertFile(db, { createdBy: NIL_UUID, mimetype: agentType, data: code });

/** The agent with this digest, of whatever version. Other files are never found. */
export async function findAgentBundle(db: Db, sha256: string): Promise<Buffer | undefined> {
  const [row] = await db
    .select({ data: files.data })
    .from(files)
    .where(and(eq(files.hash, sha256), eq(files.createdBy, NIL_UUID), eq(files.mimetype, agentType)));
  return row?.data;
}

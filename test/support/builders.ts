import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eq, sql } from 'drizzle-orm';
import { pack } from 'tar-stream';
import { buffer } from 'node:stream/consumers';
import type { Db } from '../../db/client.ts';
import type { AuditOrigin } from '../../db/queries/audit-logs.ts';
import { upsertFile } from '../../db/queries/files.ts';
import { organizationMembers, organizations, users } from '../../db/schema/users.ts';
import type { Subject } from '../../domain/subject.ts';

/** A tar archive of the given files. */
export async function tarOf(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files)) archive.entry({ name }, text);
  archive.finalize();
  return buffer(archive);
}

/** The files of `test/support/templates/<name>`. */
export const templateFiles = (name: string): Record<string, string> =>
  filesOf(fileURLToPath(new URL(`./templates/${name}`, import.meta.url)));

/** The files of a flat directory. */
export function filesOf(directory: string): Record<string, string> {
  return Object.fromEntries(readdirSync(directory).map((file) => [file, readFileSync(join(directory, file), 'utf8')]));
}

export const testOrigin = (userId: string): AuditOrigin => ({
  requestId: randomUUID(),
  ip: null,
  userAgent: 'test',
  userId,
  actor: '',
});

export async function defaultOrganizationId(db: Db): Promise<string> {
  const [row] = await db.select({ id: organizations.id }).from(organizations).where(eq(organizations.isDefault, true));
  return row!.id;
}

/** A person in the default organization, and the subject that person's requests have. */
export async function insertPerson(
  db: Db,
  person: { username: string; roles?: string[]; organizationRoles?: string[] },
): Promise<Subject> {
  const organizationId = await defaultOrganizationId(db);
  const id = randomUUID();
  const stamps = { createdAt: sql`now()`, updatedAt: sql`now()` };
  const { username, roles = [], organizationRoles = [] } = person;
  await db
    .insert(users)
    .values({ id, username, email: `${username}@example.com`, status: 'active', rbacRoles: roles, ...stamps });
  await db.insert(organizationMembers).values({ organizationId, userId: id, roles: organizationRoles, ...stamps });
  return {
    kind: 'user',
    id,
    name: username,
    roles,
    organizations: { [organizationId]: ['organization-member', 'organization-workspace-access', ...organizationRoles] },
    groups: [organizationId],
    scopes: ['coder:all'],
    allowList: ['*:*'],
  };
}

export const storeArchive = async (db: Db, subject: Subject, files: Readonly<Record<string, string>>) =>
  (await upsertFile(db, { createdBy: subject.id, mimetype: 'application/x-tar', data: await tarOf(files) })).id;

import { eq } from 'drizzle-orm';
import type { Db } from '../client.ts';
import { templates } from '../schema/templates.ts';

/** Active version of a template, deleted templates included: who may see what is decided on the version's row. */
export async function findActiveVersionId(db: Db, templateId: string): Promise<string | undefined> {
  const [row] = await db
    .select({ activeVersionId: templates.activeVersionId })
    .from(templates)
    .where(eq(templates.id, templateId));
  return row?.activeVersionId;
}

/** What every decision about a template rests on, deleted ones included. */
export async function findTemplate(db: Db, templateId: string) {
  const [row] = await db
    .select({
      id: templates.id,
      name: templates.name,
      organizationId: templates.organizationId,
      activeVersionId: templates.activeVersionId,
      deleted: templates.deleted,
      userAcl: templates.userAcl,
      groupAcl: templates.groupAcl,
    })
    .from(templates)
    .where(eq(templates.id, templateId));
  return row;
}

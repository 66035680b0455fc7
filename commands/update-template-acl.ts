import { transaction } from '../db/client.ts';
import type { Db } from '../db/client.ts';
import { listGroupsByIds, listMemberIds } from '../db/queries/groups.ts';
import { updateTemplate } from '../db/queries/templates.ts';
import { DomainError, type FieldError } from '../domain/errors.ts';
import { PREBUILDS_SYSTEM_USER_ID, isUuid } from '../domain/ids.ts';
import type { Caller } from './caller.ts';
import { type TemplateDeps, auditTemplate, lockTemplateFor } from './template-row.ts';

/** id → `admin`, `use`, or '' to remove. */
type Permissions = Readonly<Record<string, string>>;
type Acl = Readonly<Record<string, readonly string[]>>;

const roles = ['admin', 'use', ''];

/**
 * Changes who may use or administer a template; all of the patch or none of it. Throws INVALID_INPUT with one validation
 * per id that is unknown or outside the organization, and per unknown role. Source: spec/07 §5.
 */
export async function updateTemplateAcl(
  deps: TemplateDeps,
  caller: Caller,
  input: { readonly templateId: string; readonly users: Permissions; readonly groups: Permissions },
): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const template = await lockTemplateFor(tx, caller, { templateId: input.templateId, action: 'update' });
    const { organizationId } = template;
    const users = lowerCased(input.users);
    const groups = lowerCased(input.groups);
    const offences = [
      ...problems('user_perms', users, {
        known: new Set(await memberIds(tx, organizationId, Object.keys(users))),
        current: template.userAcl,
      }),
      ...problems('group_perms', groups, {
        known: new Set(await groupIds(tx, organizationId, Object.keys(groups))),
        current: template.groupAcl,
      }),
    ];
    if (offences.length > 0)
      throw new DomainError('INVALID_INPUT', 'Some permissions are not valid', { validations: offences });
    const change = { userAcl: patched(template.userAcl, users), groupAcl: patched(template.groupAcl, groups) };
    const now = deps.now();
    await updateTemplate(tx, template.id, { ...change, updatedAt: now });
    await auditTemplate(tx, caller, template, {
      action: 'write',
      now,
      before: template,
      after: { ...template, ...change },
    });
  });
}

const lowerCased = (permissions: Permissions): Permissions =>
  Object.fromEntries(Object.entries(permissions).map(([id, role]) => [id.toLowerCase(), role]));

const memberIds = (tx: Db, organizationId: string, ids: readonly string[]) =>
  listMemberIds(
    tx,
    organizationId,
    ids.filter((id) => isUuid(id) && id !== PREBUILDS_SYSTEM_USER_ID),
  );

async function groupIds(tx: Db, organizationId: string, ids: readonly string[]): Promise<string[]> {
  const groups = await listGroupsByIds(tx, ids.filter(isUuid));
  return groups.filter((group) => group.organizationId === organizationId).map(({ id }) => id);
}

/** Who has left the organization can still be removed from the list. */
function problems(
  field: string,
  permissions: Permissions,
  ids: { readonly known: ReadonlySet<string>; readonly current: Acl },
): FieldError[] {
  return Object.entries(permissions).flatMap(([id, role]): FieldError[] => {
    const removable = role === '' && Object.hasOwn(ids.current, id);
    if (!ids.known.has(id) && !removable)
      return [{ field: `${field}.${id}`, detail: 'is not known in this organization' }];
    return roles.includes(role)
      ? []
      : [{ field: `${field}.${id}`, detail: `"${role}" is not a role: use admin, use or an empty text` }];
  });
}

function patched(acl: Acl, permissions: Permissions): Record<string, string[]> {
  const entries = new Map(Object.entries(acl).map(([id, held]) => [id, [...held]]));
  for (const [id, role] of Object.entries(permissions))
    if (role === '') entries.delete(id);
    else entries.set(id, [role]);
  return Object.fromEntries(entries);
}

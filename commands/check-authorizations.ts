import type { Db } from '../db/client.ts';
import { findAuthRow } from '../db/queries/auth-rows.ts';
import { isAllowed, isWorkspaceAllowed } from '../domain/authorization.ts';
import type { AuthObject } from '../domain/authorization.ts';
import { invalidField } from '../domain/errors.ts';
import { isUuid } from '../domain/ids.ts';
import { isActionOf, isResourceType } from '../domain/permissions.ts';
import type { Subject } from '../domain/subject.ts';

export interface AuthorizationCheck {
  readonly object: {
    readonly resource_type: string;
    readonly owner_id?: string | undefined;
    readonly organization_id?: string | undefined;
    readonly resource_id?: string | undefined;
    readonly any_org?: boolean | undefined;
  };
  readonly action: string;
}

const maxChecks = 100;

/**
 * Answers what a user interface wants to know before it shows a button. An unknown resource id is answered like one
 * that may not be touched. Throws INVALID_INPUT for an unknown type or action. Source: spec/06 §2.
 */
export async function checkAuthorizations(
  deps: { db: Db },
  subject: Subject,
  checks: Readonly<Record<string, AuthorizationCheck>>,
): Promise<Record<string, boolean>> {
  const entries = Object.entries(checks);
  if (entries.length > maxChecks) throw invalidField('checks', `at most ${maxChecks} checks at once`);
  const answers = await Promise.all(
    entries.map(async ([name, check]) => [name, await answer(deps.db, subject, { name, ...check })] as const),
  );
  return Object.fromEntries(answers);
}

async function answer(db: Db, subject: Subject, check: AuthorizationCheck & { name: string }): Promise<boolean> {
  const { object, action, name } = check;
  const type = object.resource_type;
  if (!isResourceType(type)) throw invalidField(`checks.${name}.object.resource_type`, 'unknown resource type');
  if (!isActionOf(type, action)) throw invalidField(`checks.${name}.action`, `not an action of ${type}`);
  const optionalUuid = (field: 'owner_id' | 'organization_id' | 'resource_id') => {
    const value = object[field] === 'me' ? subject.id : (object[field] ?? '');
    if (value !== '' && !isUuid(value)) throw invalidField(`checks.${name}.object.${field}`, 'must be a uuid');
    return value === '' ? undefined : value.toLowerCase();
  };
  const id = optionalUuid('resource_id');
  const ownerId = optionalUuid('owner_id');
  const organizationId = optionalUuid('organization_id');
  if (id !== undefined) {
    const row = await findAuthRow(db, type, id);
    if (row?.kind === 'workspace') return isWorkspaceAllowed(subject, action, row.row);
    if (row?.kind === 'object') return isAllowed(subject, action, row.object);
    if (row?.kind === 'missing') return false;
  }
  const asked: AuthObject = {
    type,
    ...(id !== undefined && { id }),
    ...(ownerId !== undefined && { ownerId }),
    ...(organizationId !== undefined && { organizationId }),
  };
  if (object.any_org === true && organizationId === undefined)
    return (
      isAllowed(subject, action, asked) ||
      Object.keys(subject.organizations).some((each) => isAllowed(subject, action, { ...asked, organizationId: each }))
    );
  return isAllowed(subject, action, asked);
}

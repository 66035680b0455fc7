import { sql } from 'drizzle-orm';
import type { SQL, SQLWrapper } from 'drizzle-orm';
import { aclRolesGranting, mayUseAcl, organizationVote, siteVote, userVote } from '../domain/authorization.ts';
import { allowedIds } from '../domain/allow-list.ts';
import { DomainError } from '../domain/errors.ts';
import { isActionOf } from '../domain/permissions.ts';
import type { Action, ResourceType } from '../domain/permissions.ts';
import { resolveScopes } from '../domain/scopes.ts';
import type { Subject } from '../domain/subject.ts';

/** Columns (or expressions) of the listed table that decide; leave out what the type has not. */
export interface AuthColumns {
  readonly id: SQLWrapper;
  readonly organizationId?: SQLWrapper;
  readonly ownerId?: SQLWrapper;
  readonly userAcl?: SQLWrapper;
  readonly groupAcl?: SQLWrapper;
  /** Workspaces: picks between the rules of `workspace` and `workspace_dormant`. */
  readonly dormantAt?: SQLWrapper;
}

const yes = sql`true`;
const no = sql`false`;
/** An array parameter of the given element type; an empty one compiles to FALSE at its use. */
const array = (values: readonly string[], type: 'uuid' | 'text') =>
  sql`array[${sql.join(
    values.map((value) => sql`${value}`),
    sql`, `,
  )}]::${sql.raw(type)}[]`;
const within = (column: SQLWrapper, ids: readonly string[]) =>
  ids.length === 0 ? no : sql`${column} = any(${array(ids, 'uuid')})`;
const or = (...parts: SQL[]): SQL => {
  const open = parts.filter((part) => part !== no);
  return open.length === 0 ? no : sql`(${sql.join(open, sql` or `)})`;
};
const and = (...parts: SQL[]): SQL => (parts.includes(no) ? no : sql`(${sql.join(parts, sql` and `)})`);

function byRoles(subject: Subject, want: { type: ResourceType; action: Action }, columns: AuthColumns): SQL {
  const site = siteVote(subject, want.type, want.action);
  if (site !== 0) return site === 1 ? yes : no;
  const owned = columns.ownerId === undefined ? no : sql`${columns.ownerId} = ${subject.id}::uuid`;
  const ownVote = userVote(subject, want.type, want.action);
  if (columns.organizationId === undefined) return ownVote === 1 ? owned : no;

  const organizationIds = Object.keys(subject.organizations);
  const vote = (id: string, level: 'org' | 'member') => organizationVote(subject, id, level, want);
  const allowed = organizationIds.filter((id) => vote(id, 'org') === 1);
  const open = organizationIds.filter((id) => vote(id, 'org') === 0);
  const memberAllowed = open.filter((id) => vote(id, 'member') === 1);
  const memberDenied = open.filter((id) => vote(id, 'member') === -1);
  const aclOpen = open.filter((id) => mayUseAcl(subject, id, want.type));
  const granting = aclRolesGranting(want.type, want.action);
  const acl =
    granting.length === 0 || aclOpen.length === 0
      ? no
      : and(
          within(columns.organizationId, aclOpen),
          or(
            columns.userAcl === undefined
              ? no
              : sql`${columns.userAcl} -> ${subject.id}::text ?| ${array(granting, 'text')}`,
            columns.groupAcl === undefined || subject.groups.length === 0
              ? no
              : sql`(${columns.groupAcl} ?| ${array(subject.groups, 'text')} and exists (select 1 from unnest(${array(subject.groups, 'text')}) as held(id) where ${columns.groupAcl} -> held.id ?| ${array(granting, 'text')}))`,
          ),
          // A denial of one's own objects ends the matter before the ACL is looked at.
          memberDenied.length === 0 || columns.ownerId === undefined
            ? yes
            : sql`not (${owned} and ${within(columns.organizationId, memberDenied)})`,
        );
  return or(
    within(columns.organizationId, allowed),
    memberAllowed.length === 0 ? no : and(owned, within(columns.organizationId, memberAllowed)),
    ownVote === 1 && columns.ownerId !== undefined ? and(sql`${columns.organizationId} is null`, owned) : no,
    acl,
  );
}

function compile(subject: Subject, want: { type: ResourceType; action: Action }, columns: AuthColumns): SQL {
  if (!isActionOf(want.type, want.action)) return no;
  if (resolveScopes(subject.scopes).vote(want.type, want.action) !== 1) return no;
  const ids = allowedIds(subject.allowList, want.type);
  return and(byRoles(subject, want, columns), ids === 'all' ? yes : within(columns.id, ids));
}

/**
 * The condition under which `subject` may read (or do `action` with) a row: the decision of domain/authorization.ts as
 * SQL, so that lists, their counts and their pages never check row by row and leak nothing. Equal to `isAllowed` for
 * every row (property test). Throws NO_ACTOR without a subject. Source: spec/07 §6.
 */
export function readableBy(subject: Subject, type: ResourceType, columns: AuthColumns, action: Action = 'read'): SQL {
  if ((subject as Subject | undefined) === undefined) throw new DomainError('NO_ACTOR', 'No actor was given');
  const filter = compile(subject, { type, action }, columns);
  if (type !== 'workspace' || columns.dormantAt === undefined) return filter;
  const dormant = compile(subject, { type: 'workspace_dormant', action }, columns);
  return sql`case when ${columns.dormantAt} is null then ${filter} else ${dormant} end`;
}

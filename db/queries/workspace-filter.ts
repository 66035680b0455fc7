import { type SQL, and, eq, gt, ilike, inArray, lt, ne, sql } from 'drizzle-orm';
import { agentInactiveAfterMs } from '../../domain/agents.ts';
import { invalidField } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import type { WorkspaceStatus } from '../../domain/jobs.ts';
import { parseSearch, searchTerms } from '../../domain/query-language.ts';
import type { Subject } from '../../domain/subject.ts';
import { organizations, users } from '../schema/users.ts';
import { provisionerJobs } from '../schema/provisioner-jobs.ts';
import { templates } from '../schema/templates.ts';
import { workspaceBuilds, workspaces } from '../schema/workspaces.ts';

const keys = [
  'owner',
  'name',
  'template',
  'status',
  'id',
  'organization',
  'dormant',
  'last_used_after',
  'last_used_before',
  'has-agent',
  'healthy',
  'outdated',
  'has-ai-task',
  'has_external_agent',
  'shared',
  'shared_with_user',
  'shared_with_group',
] as const;

/** Job status and transition of each workspace status, the inverse of domain/jobs.ts (spec/01 §6.1). */
const statusConditions: Record<WorkspaceStatus, SQL | undefined> = {
  pending: eq(provisionerJobs.jobStatus, 'pending'),
  canceling: eq(provisionerJobs.jobStatus, 'canceling'),
  canceled: eq(provisionerJobs.jobStatus, 'canceled'),
  failed: eq(provisionerJobs.jobStatus, 'failed'),
  starting: and(eq(provisionerJobs.jobStatus, 'running'), eq(workspaceBuilds.transition, 'start')),
  stopping: and(eq(provisionerJobs.jobStatus, 'running'), eq(workspaceBuilds.transition, 'stop')),
  deleting: and(eq(provisionerJobs.jobStatus, 'running'), eq(workspaceBuilds.transition, 'delete')),
  running: and(eq(provisionerJobs.jobStatus, 'succeeded'), eq(workspaceBuilds.transition, 'start')),
  stopped: and(eq(provisionerJobs.jobStatus, 'succeeded'), eq(workspaceBuilds.transition, 'stop')),
  deleted: and(eq(provisionerJobs.jobStatus, 'succeeded'), eq(workspaceBuilds.transition, 'delete')),
};

/** Status of an agent in SQL, the same cases as domain/agents.ts. */
export const agentStatusSql = sql`case
  when c.first_connected_at is null then
    case when a.connection_timeout_seconds > 0 and now() - a.created_at > a.connection_timeout_seconds * interval '1 second'
      then 'timeout' else 'connecting' end
  when c.disconnected_at > c.last_connected_at then 'disconnected'
  when now() - c.last_connected_at > ${agentInactiveAfterMs} * interval '1 millisecond' then 'disconnected'
  else 'connected' end`;

const hasAgent = (statuses: readonly string[], which: SQL = sql`true`): SQL => sql`exists (
  select 1 from workspace_resources r
  join live_workspace_agents a on a.resource_id = r.id
  left join workspace_agent_connections c on c.agent_id = a.id
  where r.job_id = ${workspaceBuilds.jobId} and ${which} and ${agentStatusSql} in ${[...statuses]})`;

/** Health is that of top-level agents (spec/01 §6 "Healthy"). */
const isHealthy = (healthy: boolean): SQL =>
  hasAgent(healthy ? ['connected'] : ['disconnected', 'timeout'], sql`a.parent_id is null`);

/**
 * Compiles `q` of the workspace list to conditions on workspaces joined with owner, template, organization and latest build.
 * Throws INVALID_INPUT naming the key. Source: spec/06 §1.3.
 */
export function workspaceConditions(q: string, subject: Subject): SQL[] {
  const search = parseSearch(q, keys, { prefixes: ['param'], multiple: ['param'] });
  const term = searchTerms(search);
  const conditions: (SQL | undefined)[] = [...freeTerm(search.free, subject)];
  const add = <T>(value: T | undefined, condition: (value: T) => SQL | undefined) => {
    if (value !== undefined) conditions.push(condition(value));
  };
  const status = term.text('status');
  // Deleted workspaces appear only when they are asked for.
  conditions.push(eq(workspaces.deleted, status === 'deleted'));
  add(status, (value) => {
    if (!Object.hasOwn(statusConditions, value)) throw invalidField('status', `"${value}" is not a workspace status`);
    return value === 'deleted' ? undefined : statusConditions[value as WorkspaceStatus];
  });
  add(term.text('owner'), (value) => ownerIs(value, subject));
  add(term.text('name'), (value) => ilike(workspaces.name, `%${escapeLike(value)}%`));
  add(term.text('template'), (value) => sql`lower(${templates.name}) = ${value}`);
  add(term.list('id'), (ids) => {
    const bad = ids.find((id) => !isUuid(id));
    if (bad !== undefined) throw invalidField('id', `"${bad}" is not a uuid`);
    return inArray(workspaces.id, [...ids]);
  });
  add(term.text('organization'), (value) =>
    isUuid(value) ? eq(workspaces.organizationId, value) : sql`lower(${organizations.name}) = ${value}`,
  );
  add(term.boolean('dormant'), (only) => (only ? sql`${workspaces.dormantAt} is not null` : undefined));
  add(term.instant('last_used_after'), (instant) => gt(workspaces.lastUsedAt, instant));
  add(term.instant('last_used_before'), (instant) => lt(workspaces.lastUsedAt, instant));
  add(term.oneOf('has-agent', ['connected', 'connecting', 'disconnected', 'timeout']), (statuses) =>
    hasAgent(statuses),
  );
  add(term.boolean('healthy'), isHealthy);
  add(term.boolean('outdated'), (outdated) =>
    outdated
      ? ne(workspaceBuilds.templateVersionId, templates.activeVersionId)
      : eq(workspaceBuilds.templateVersionId, templates.activeVersionId),
  );
  add(term.boolean('has-ai-task'), (value) => sql`coalesce(${workspaceBuilds.hasAiTask}, false) = ${value}`);
  add(
    term.boolean('has_external_agent'),
    (value) => sql`coalesce(${workspaceBuilds.hasExternalAgent}, false) = ${value}`,
  );
  conditions.push(...shared(term), ...parameters(search.terms.get('param') ?? []));
  return conditions.filter((condition) => condition !== undefined);
}

const escapeLike = (text: string): string => text.replaceAll(/[\\%_]/g, '\\$&');

const ownerIs = (owner: string, subject: Subject): SQL =>
  owner === 'me' ? eq(workspaces.ownerId, subject.id) : sql`lower(${users.username}) = ${owner}`;

/** A bare word is a part of the name; `owner/name` names both. */
function freeTerm(free: string, subject: Subject): SQL[] {
  if (free === '') return [];
  const parts = free.split('/');
  if (parts.length > 2) throw invalidField('q', 'a search term may contain at most one slash');
  const name = parts.at(-1) ?? '';
  const conditions = name === '' ? [] : [ilike(workspaces.name, `%${escapeLike(name)}%`)];
  return parts.length === 2 && parts[0] !== undefined ? [ownerIs(parts[0], subject), ...conditions] : conditions;
}

function shared(term: ReturnType<typeof searchTerms>): SQL[] {
  const conditions: SQL[] = [];
  const isShared = sql`(${workspaces.userAcl} <> '{}'::jsonb or ${workspaces.groupAcl} <> '{}'::jsonb)`;
  const wanted = term.boolean('shared');
  if (wanted !== undefined) conditions.push(wanted ? isShared : sql`not ${isShared}`);
  const user = term.text('shared_with_user');
  if (user !== undefined)
    conditions.push(
      isUuid(user)
        ? sql`${workspaces.userAcl} ? ${user}`
        : sql`exists (select 1 from users u where lower(u.username) = ${user} and ${workspaces.userAcl} ? u.id::text)`,
    );
  const group = term.text('shared_with_group');
  if (group === undefined) return conditions;
  if (isUuid(group)) return [...conditions, sql`${workspaces.groupAcl} ? ${group}`];
  const [organization, name] = group.includes('/') ? group.split('/', 2) : [undefined, group];
  return [
    ...conditions,
    sql`exists (select 1 from groups g join organizations o on o.id = g.organization_id
      where lower(g.name) = ${name} and ${organization === undefined ? sql`o.is_default` : sql`lower(o.name) = ${organization}`}
        and ${workspaces.groupAcl} ? g.id::text)`,
  ];
}

/** `param:<name>` = the latest build has it; `param:<name>=<value>` = with this value. */
function parameters(terms: readonly string[]): SQL[] {
  return terms.map((text) => {
    const [name = '', value, ...rest] = text.split('=');
    if (rest.length > 0 || value === '' || name === '')
      throw invalidField('param', `"${text}" must be <name> or <name>=<value>`);
    return sql`exists (select 1 from workspace_build_parameters p where p.workspace_build_id = ${workspaceBuilds.id}
      and lower(p.name) = ${name} ${value === undefined ? sql`` : sql`and lower(p.value) = ${value}`})`;
  });
}

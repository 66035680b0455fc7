import { sql } from 'drizzle-orm';
import { randomInt, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readableBy } from '../../db/authorization-filter.ts';
import { connect } from '../../db/client.ts';
import type { Database } from '../../db/client.ts';
import { buildRunner, prebuildsOrchestrator } from '../../domain/actors.ts';
import { isAllowed } from '../../domain/authorization.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import type { Action, ResourceType } from '../../domain/permissions.ts';
import { organizationRoles, siteRoles, workspaceSharingDisabled } from '../../domain/roles.ts';
import { scopeNames } from '../../domain/scopes.ts';
import type { Subject } from '../../domain/subject.ts';
import { createTestDatabase } from '../support/services.ts';
import type { TestDatabase } from '../support/services.ts';

interface Row {
  id: string;
  organizationId: string | null;
  ownerId: string | null;
  dormant: boolean;
  userAcl: Record<string, string[]>;
  groupAcl: Record<string, string[]>;
}

const pick = <T>(items: readonly T[]): T => items[randomInt(items.length)]!;
const some = <T>(items: readonly T[], most: number): T[] =>
  Array.from({ length: randomInt(most + 1) }, () => pick(items));
const organizations = Array.from({ length: 3 }, () => randomUUID());
const people = [...Array.from({ length: 3 }, () => randomUUID()), PREBUILDS_SYSTEM_USER_ID];
const groupIds = [...organizations, randomUUID(), randomUUID()];
const aclRoles = ['use', 'admin', 'unknown'];

const randomAcl = (ids: readonly string[]) =>
  Object.fromEntries(some(ids, 2).map((id) => [id, some(aclRoles, 2)] as const));
const rows: Row[] = Array.from({ length: 150 }, () => ({
  id: randomUUID(),
  organizationId: pick([...organizations, null]),
  ownerId: pick([...people, null]),
  dormant: randomInt(3) === 0,
  userAcl: randomAcl(people),
  groupAcl: randomAcl(groupIds),
}));

const allOrganizationRoles = [...Object.keys(organizationRoles), 'organization-member-unshared', 'unknown-role'];
function randomSubject(): Subject {
  if (randomInt(10) === 0)
    return pick([
      prebuildsOrchestrator({ organizationId: pick(organizations) }),
      buildRunner({
        workspaceId: pick(rows).id,
        buildId: randomUUID(),
        jobId: pick(rows).id,
        ownerId: pick(people),
        organizationId: pick(organizations),
      }),
    ]);
  const memberOf = some(organizations, 3);
  return {
    kind: 'user',
    id: pick(people),
    name: 'somebody',
    roles: randomInt(2) === 0 ? [] : some([...Object.keys(siteRoles), workspaceSharingDisabled, 'unknown-role'], 2),
    organizations: Object.fromEntries(memberOf.map((id) => [id, some(allOrganizationRoles, 4)])),
    groups: [...memberOf, ...some(groupIds, 2)],
    scopes: randomInt(2) === 0 ? ['coder:all'] : some(scopeNames, 3),
    allowList:
      randomInt(2) === 0
        ? ['*:*']
        : some(['workspace:*', 'template:*', '*:*', ...rows.slice(0, 30).map(({ id }) => `workspace:${id}`)], 6),
  };
}

const questions: readonly [ResourceType, Action][] = [
  ['workspace', 'read'],
  ['workspace', 'update'],
  ['workspace', 'start'],
  ['workspace', 'share'],
  ['workspace', 'create_agent'],
  ['template', 'read'],
  ['template', 'use'],
  ['template', 'update'],
  ['group', 'read'],
  ['organization_member', 'read'],
  ['provisioner_jobs', 'read'],
  ['file', 'read'],
  ['audit_log', 'read'],
  ['user_secret', 'read'],
];

let testDatabase: TestDatabase;
let database: Database;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = connect(testDatabase.url, { max: 1, applicationName: 'berth-test' });
  await database.db.execute(sql`create table objects (
    id uuid primary key, organization_id uuid, owner_id uuid, dormant_at timestamptz, user_acl jsonb, group_acl jsonb)`);
  await database.db.execute(sql`insert into objects select id, "organizationId", "ownerId",
    case when dormant then now() end, "userAcl", "groupAcl"
    from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
    as r(id uuid, "organizationId" uuid, "ownerId" uuid, dormant boolean, "userAcl" jsonb, "groupAcl" jsonb)`);
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

const columns = {
  id: sql.raw('id'),
  organizationId: sql.raw('organization_id'),
  ownerId: sql.raw('owner_id'),
  userAcl: sql.raw('user_acl'),
  groupAcl: sql.raw('group_acl'),
};

describe('the list filter', () => {
  test('lets through exactly the rows that the decision allows, for 60,000 pairs of subject and object', async () => {
    let pairs = 0;
    let allowed = 0;
    for (let i = 0; i < 400; i += 1) {
      const subject = randomSubject();
      const [type, action] = pick(questions);
      const filter = readableBy(
        subject,
        type,
        type === 'workspace' ? { ...columns, dormantAt: sql.raw('dormant_at') } : columns,
        action,
      );
      const found = await database.db.execute<{ id: string }>(sql`select id from objects where ${filter}`);
      const inSql = new Set(found.map(({ id }) => id));
      const differing = rows.filter((row) => {
        const decision = isAllowed(subject, action, {
          ...row,
          type: type === 'workspace' && row.dormant ? 'workspace_dormant' : type,
        });
        pairs += 1;
        if (decision) allowed += 1;
        return decision !== inSql.has(row.id);
      });
      expect({ subject, type, action, differing }).toEqual({ subject, type, action, differing: [] });
    }
    expect(pairs).toBeGreaterThanOrEqual(10_000);
    // A test of a filter that is always empty or always full would prove nothing.
    expect(allowed).toBeGreaterThan(pairs / 50);
    expect(allowed).toBeLessThan(pairs / 2);
  });

  test('is empty for a subject without roles and organizations, and for empty arrays', async () => {
    const nobody: Subject = {
      kind: 'user',
      id: randomUUID(),
      name: 'nobody',
      roles: [],
      organizations: {},
      groups: [],
      scopes: ['coder:all'],
      allowList: ['*:*'],
    };
    for (const [type, action] of questions) {
      const filter = readableBy(nobody, type, columns, action);
      expect(await database.db.execute(sql`select id from objects where ${filter}`)).toHaveLength(0);
    }
    const owner: Subject = { ...nobody, roles: ['owner'], allowList: [] };
    const filter = readableBy(owner, 'workspace', columns);
    expect(await database.db.execute(sql`select id from objects where ${filter}`)).toHaveLength(0);
  });

  test('throws NO_ACTOR before any statement when nobody asks', () => {
    expect(() => readableBy(undefined as unknown as Subject, 'workspace', columns)).toThrow(
      expect.objectContaining({ code: 'NO_ACTOR' }),
    );
  });
});

import { getTableColumns, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, sqlState } from '../../db/client.ts';
import type { Database } from '../../db/client.ts';
import { auditDiff, auditedTables } from '../../db/queries/audit-fields.ts';
import { insertAudit } from '../../db/queries/audit-logs.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { createTestDatabase } from '../support/services.ts';
import type { TestDatabase } from '../support/services.ts';

let testDatabase: TestDatabase;
let database: Database;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = connect(testDatabase.url, { max: 2, applicationName: 'berth-test' });
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

const row = (actor: string, requestId: string) => ({
  origin: { requestId, ip: '192.0.2.1', userAgent: 'test', userId: null, actor },
  time: new Date(),
  resourceType: 'workspace',
  resourceId: '11111111-1111-4111-8111-111111111111',
  resourceTarget: 'dev',
  action: 'start' as const,
});
const countFor = async (requestId: string) =>
  (
    await database.db
      .select({ id: auditLogs.id })
      .from(auditLogs)
      .where(sql`request_id = ${requestId}`)
  ).length;
const stateOf = async (work: Promise<unknown>) =>
  work.then(
    () => 'ok',
    (err: unknown) => sqlState(err),
  );

describe('audited tables', () => {
  test('name every column once: tracked, secret or ignored', () => {
    for (const [name, { table, tracked, secret, ignored }] of Object.entries(auditedTables)) {
      const named = [...tracked, ...secret, ...ignored];
      expect([name, [...named].sort()]).toEqual([name, Object.keys(getTableColumns(table)).sort()]);
    }
  });
  test('a diff holds changed fields only, and of secret ones only that they changed', () => {
    const before = { username: 'a', email: 'x', hashedPassword: 'one', lastSeenAt: new Date(0), rbacRoles: ['owner'] };
    const after = { ...before, username: 'b', hashedPassword: 'two', lastSeenAt: new Date(1), rbacRoles: ['owner'] };
    expect(auditDiff('user', before, after)).toEqual({
      username: { old: 'a', new: 'b', secret: false },
      hashed_password: { old: '', new: '', secret: true },
    });
    expect(auditDiff('user', null, { username: 'a' })).toEqual({ username: { old: null, new: 'a', secret: false } });
  });
});

describe('the audit log', () => {
  test('can be added to, not changed or cut', async () => {
    const requestId = randomUUID();
    await insertAudit(database.db, row('', requestId));
    expect(await stateOf(database.db.execute(sql`update audit_logs set status_code = 500`))).toBe('23514');
    expect(await stateOf(database.db.execute(sql`delete from audit_logs`))).toBe('23514');
    expect(await countFor(requestId)).toBe(1);
  });
  test('a retry of background work writes one row, two requests of a person two', async () => {
    const [background, personal] = [randomUUID(), randomUUID()];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await insertAudit(database.db, row('autobuild', background));
      await insertAudit(database.db, row('', personal));
    }
    expect(await countFor(background)).toBe(1);
    expect(await countFor(personal)).toBe(3);
  });
  test('a change that is rolled back leaves no row', async () => {
    const requestId = randomUUID();
    await database.db
      .transaction(async (tx) => {
        await insertAudit(tx as unknown as Database['db'], row('', requestId));
        throw new Error('no');
      })
      .catch(() => undefined);
    expect(await countFor(requestId)).toBe(0);
  });
});

describe('the prebuilds user', () => {
  test('gets no key, also not by raw SQL', async () => {
    const insert = database.db.execute(sql`insert into api_keys
      (id, hashed_secret, user_id, last_used, expires_at, login_type, scopes, allow_list, created_at, updated_at)
      values ('aaaaaaaaaa', 'x', ${PREBUILDS_SYSTEM_USER_ID}, now(), now(), 'token', '{coder:all}', '{*:*}', now(), now())`);
    expect(await stateOf(insert)).toBe('23514');
  });
});

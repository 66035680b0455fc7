import { eq, inArray } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { transaction } from '../../db/client.ts';
import { markDormant } from '../../db/queries/dormancy.ts';
import { templates } from '../../db/schema/templates.ts';
import { workspaces } from '../../db/schema/workspaces.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
});
afterAll(() => api.close());

const dayMs = 24 * 60 * 60_000;
const now = new Date('2026-05-13T10:00:00Z');

test('workspaces that go to sleep are deleted by their own templates; others are left as they are', async () => {
  const templateOf = async (autodeleteMs: number) => {
    const template = await createTemplate(api);
    await api.db
      .update(templates)
      .set({ timeTilDormantAutodeleteMs: autodeleteMs })
      .where(eq(templates.id, template.id));
    return template;
  };
  // More than an interval of 2^31 ms.
  const [long, short, never] = [await templateOf(90 * dayMs), await templateOf(dayMs), await templateOf(0)];
  const insert = (template: typeof long, workspace: Parameters<typeof insertWorkspaceOf>[2] = {}) =>
    insertWorkspaceOf(api.db, template, { ownerId: api.owner.id, ...workspace });
  const asleep = new Date('2026-01-01T00:00:00Z');
  const ids = {
    long: await insert(long, { nextStartAt: new Date(now.getTime() + 1_000) }),
    short: await insert(short),
    never: await insert(never),
    asleep: await insert(short, { dormantAt: asleep }),
    deleted: await insert(short),
    prebuild: await insertWorkspaceOf(api.db, short),
  };
  await api.db.update(workspaces).set({ deleted: true }).where(eq(workspaces.id, ids.deleted));
  const mark = () => transaction(api.db, (tx) => markDormant(tx, Object.values(ids), now));
  const at = (ms: number) => new Date(now.getTime() + ms);
  const byId = <T extends { id: string }>(rows: readonly T[]) => rows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  expect(byId(await mark())).toEqual(
    byId([
      { id: ids.long, dormantAt: now, deletingAt: at(90 * dayMs) },
      { id: ids.short, dormantAt: now, deletingAt: at(dayMs) },
      { id: ids.never, dormantAt: now, deletingAt: null },
    ]),
  );
  expect(await mark()).toEqual([]);
  const rows = await api.db
    .select({ id: workspaces.id, dormantAt: workspaces.dormantAt, nextStartAt: workspaces.nextStartAt })
    .from(workspaces)
    .where(inArray(workspaces.id, Object.values(ids)));
  expect(new Map(rows.map(({ id, dormantAt }) => [id, dormantAt]))).toEqual(
    new Map([
      [ids.long, now],
      [ids.short, now],
      [ids.never, now],
      [ids.asleep, asleep],
      [ids.deleted, null],
      [ids.prebuild, null],
    ]),
  );
  expect(rows.every(({ nextStartAt }) => nextStartAt === null)).toBe(true);
  expect(await transaction(api.db, (tx) => markDormant(tx, [], now))).toEqual([]);
});

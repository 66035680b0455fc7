import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lifecycleScheduleId, triggerSchedule } from '../../workers/schedules.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { addWorker } from '../support/lifecycle-rows.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { build, buildOver, createTemplate, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stack: TestStack;
let stop: () => Promise<void>;
let template: JsonValue;
beforeAll(async () => {
  ({ api, stack, stop } = await startApiStack({ reconcileEveryMs: 3_600_000 }));
  // The provisioner of the tests' stack has no process that says that it lives.
  await addWorker(api.db);
  template = await createTemplate(api, 'basic');
});
afterAll(() => stop());

const workspace = async (id: string): Promise<JsonValue> =>
  (await api.request('GET', `/api/v2/workspaces/${id}`, { token: api.ownerToken })).body;
/** The build that follows this one, once it is over. */
const buildAfter = (id: string, number: number): Promise<JsonValue> =>
  waitFor(`build ${number + 1}`, async () => {
    const { latest_build: latest } = await workspace(id);
    return latest.build_number > number && ['succeeded', 'failed'].includes(latest.job.status) ? latest : undefined;
  });

test('the schedule starts what is due, stops what is over, and a suspended user has nothing running', async () => {
  const created = await createWorkspace(api, {
    name: 'clockwork',
    template_id: template.id,
    autostart_schedule: 'CRON_TZ=UTC 0 9 * * *',
    ttl_ms: 3_600_000,
  });
  const { id } = created;
  await buildOver(api, created.latest_build.id);
  await build(api, id, { transition: 'stop' });
  expect((await workspace(id)).next_start_at).not.toBe(null);
  const past = sql`now() - interval '1 minute'`;
  await api.db.execute(sql`update workspaces set next_start_at = ${past} where id = ${id}`);
  await triggerSchedule(stack.client, lifecycleScheduleId);
  const started = await buildAfter(id, 2);
  expect(started).toMatchObject({ transition: 'start', reason: 'autostart', job: { status: 'succeeded' } });
  const deadline = new Date(started.deadline).getTime();
  const ended = new Date(started.job.completed_at).getTime();
  // A start of tomorrow that comes before the deadline moves it.
  expect(deadline - ended).toBeGreaterThanOrEqual(3_600_000 - 1_000);
  expect(new Date((await workspace(id)).next_start_at).getTime()).toBeGreaterThan(Date.now());
  await api.db.execute(sql`
    update workspace_builds set deadline = ${past}, max_deadline = null where workspace_id = ${id} and is_latest`);
  await triggerSchedule(stack.client, lifecycleScheduleId);
  expect(await buildAfter(id, 3)).toMatchObject({
    transition: 'stop',
    reason: 'autostop',
    job: { status: 'succeeded' },
  });

  const bob = await api.createUser({ username: 'bob' });
  const his = await createWorkspace(api, { name: 'his', template_id: template.id }, bob.token);
  await buildOver(api, his.latest_build.id);
  const suspended = await api.request('PUT', `/api/v2/users/${bob.id}/status/suspend`, { token: api.ownerToken });
  expect(suspended.status).toBe(200);
  // Nobody triggers it: the suspension does.
  expect(await buildAfter(his.id, 1)).toMatchObject({ transition: 'stop', reason: 'autostop' });
});

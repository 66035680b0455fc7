import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestApi, type TestApi } from '../support/api.ts';
import {
  addWorker,
  build,
  lifecycleDeps,
  onlyDue,
  runTick,
  startedWorkspace,
  stored,
} from '../support/lifecycle-rows.ts';
import { createTemplate } from '../support/template-rows.ts';

let api: TestApi;
beforeAll(async () => {
  api = await createTestApi();
  await addWorker(api.db);
});
afterAll(() => api.close());

const utc = (text: string) => new Date(`2026-05-${text}Z`);

describe('a tick', () => {
  test('builds nothing that no worker could run, and all of it once there is one', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), autostart_schedule: '0 9 * * *' });
    await onlyDue(api, id);
    await build(api, id, { transition: 'stop', at: utc('13T08:30:00') });
    await api.db.execute(sql`update provisioner_daemons set last_seen_at = now() - interval '91 seconds'`);
    for (const minute of ['00', '01', '02'])
      expect(await runTick(api, utc(`13T09:${minute}:00`))).toMatchObject({ builds: 0, skipped: { no_worker: 1 } });
    expect((await stored(api.db, id)).nextStartAt).toEqual(utc('13T09:00:00'));
    await api.db.execute(sql`update provisioner_daemons set last_seen_at = now()`);
    expect(await runTick(api, utc('13T09:03:00'))).toMatchObject({ builds: 1 });
  });

  test('does no more than its limit and leaves the rest to the next', async () => {
    const template = await createTemplate(api);
    const ids = await Promise.all(
      Array.from({ length: 30 }, () => startedWorkspace(api, template, { at: utc('13T08:00:00'), ttl_ms: 3_600_000 })),
    );
    await onlyDue(api, ...ids);
    const deps = lifecycleDeps(api, { maxBuildsPerTick: 20 });
    expect(await runTick(api, utc('13T09:00:00'), deps)).toMatchObject({ builds: 20 });
    expect(await runTick(api, utc('13T09:01:00'), deps)).toMatchObject({ builds: 10 });
    for (const id of ids) expect(await stored(api.db, id)).toMatchObject({ buildNumber: 2, reason: 'autostop' });
  });

  test('leaves prebuilds alone whatever their rows say', async () => {
    const template = await createTemplate(api, {
      failure_ttl_ms: 3_600_000,
      dormant_ttl_ms: 3_600_000,
      default_ttl_ms: 3_600_000,
    });
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00') });
    await onlyDue(api, id);
    await api.db.execute(sql`
      alter table workspaces disable trigger all`);
    await api.db.execute(sql`
      update workspaces set owner_id = 'c42fdf75-3097-471c-8c33-fb52454d81c0', ttl_ms = null, autostart_schedule = null,
        next_start_at = null, failed_at = '2026-05-13T08:00:00Z', lifecycle_retry_after = '2026-05-13T08:00:00Z' where id = ${id}`);
    await api.db.execute(sql`
      update workspace_builds set deadline = '2026-05-13T09:00:00Z', max_deadline = '2026-05-13T09:00:00Z' where workspace_id = ${id}`);
    for (const day of ['13', '14', '20', '30'])
      expect(await runTick(api, utc(`${day}T10:07:00`))).toMatchObject({ due: {} });
  });

  test('passes over a workspace that somebody else is at', async () => {
    const template = await createTemplate(api);
    const id = await startedWorkspace(api, template, { at: utc('13T08:00:00'), ttl_ms: 3_600_000 });
    await api.db.transaction(async (tx) => {
      await tx.execute(sql`select id from workspaces where id = ${id} for update`);
      expect(await runTick(api, utc('13T09:00:00'))).toMatchObject({ builds: 0, skipped: { locked: 1 } });
    });
    expect(await runTick(api, utc('13T09:01:00'))).toMatchObject({ builds: 1 });
  });
});

test('two ticks and 200 requests at once give each of 500 workspaces one build', async () => {
  const template = await createTemplate(api);
  const first = await startedWorkspace(api, template, { at: utc('13T08:00:00'), autostart_schedule: '0 9 * * *' });
  await onlyDue(api, first);
  await build(api, first, { transition: 'stop', at: utc('13T08:30:00') });
  const copies = Array.from({ length: 499 }, () => randomUUID());
  await copyWorkspace(first, copies);
  const ids = [first, ...copies];
  api.clock.now = utc('13T09:00:00');
  const request = (id: string) =>
    api.request('POST', `/api/v2/workspaces/${id}/builds`, { token: api.ownerToken, body: { transition: 'start' } });
  const [a, b, ...answers] = await Promise.all([
    runTick(api, utc('13T09:00:00')),
    runTick(api, utc('13T09:00:00')),
    ...ids.slice(0, 200).map(request),
  ]);
  const requested = answers.filter(({ status }) => status === 201).length;
  expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true);
  // One that was locked at the wrong moment is still due.
  const late = await runTick(api, utc('13T09:01:00'));
  expect(a.builds + b.builds + late.builds + requested).toBe(ids.length);
  const rows = await api.db.execute<{ builds: number; last: number }>(sql`
    select count(*) filter (where build_number > 2)::int as builds, max(build_number) as last from workspace_builds
    where workspace_id in ${ids} group by workspace_id`);
  expect(rows).toHaveLength(ids.length);
  expect(rows.filter(({ builds, last }) => builds !== 1 || last !== 3)).toEqual([]);
  expect(a.skipped['error'] ?? 0).toBe(0);
  expect(b.skipped['error'] ?? 0).toBe(0);
});

/** Stopped copies of a workspace, each with its last build. */
async function copyWorkspace(from: string, ids: readonly string[]): Promise<void> {
  await api.db.execute(sql`
    with n as (select value::uuid as id, gen_random_uuid() as job_id, gen_random_uuid() as build_id
      from json_array_elements_text(${JSON.stringify(ids)}::text::json)),
    j as (insert into provisioner_jobs (id, created_at, started_at, completed_at, organization_id, initiator_id, type, input, file_id, tags, workflow_id, priority, provisioner)
      select n.job_id, j.created_at, j.started_at, j.completed_at, j.organization_id, j.initiator_id, j.type, '{}', j.file_id, j.tags, 'build/' || n.build_id, j.priority, 'terraform'
      from n, workspace_builds b join provisioner_jobs j on j.id = b.job_id where b.workspace_id = ${from} and b.is_latest returning id),
    w as (insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, autostart_schedule, next_start_at, last_used_at, latest_build_id)
      select n.id, w.created_at, w.updated_at, w.owner_id, w.organization_id, w.template_id, 'c-' || n.id, w.autostart_schedule, w.next_start_at, w.last_used_at, n.build_id
      from n, workspaces w where w.id = ${from} returning id)
    insert into workspace_builds (id, created_at, updated_at, workspace_id, build_number, template_version_id, transition, reason, initiator_id, job_id, is_latest, active)
    select n.build_id, b.created_at, b.updated_at, n.id, b.build_number, b.template_version_id, b.transition, b.reason, b.initiator_id, n.job_id, true, false
    from n, workspace_builds b where b.workspace_id = ${from} and b.is_latest`);
}

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { getStartingState } from '../../db/queries/workspace-build-states.ts';
import type { JsonValue, TestApi, TestUser } from '../support/api.ts';
import { allowEveryone } from '../support/quota-rows.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { build, buildOver, createTemplate, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stack: TestStack;
let stop: () => Promise<void>;
let template: JsonValue;
let ann: TestUser;
let names = 0;
const directory = mkdtempSync(join(tmpdir(), 'berth-quota-'));
const calls = join(directory, 'calls');

beforeAll(async () => {
  ({ api, stack, stop } = await startApiStack());
  template = await createTemplate(api, 'costly');
  // Every Terraform that is begun from here on leaves its command.
  const terraform = stack.provisioner.terraform as { path: string };
  const wrapper = join(directory, 'terraform');
  writeFileSync(wrapper, `#!/bin/sh\necho "$1" >> '${calls}'\nexec '${terraform.path}' "$@"\n`);
  chmodSync(wrapper, 0o755);
  terraform.path = wrapper;
});
afterAll(async () => {
  await stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  ann = await api.createUser({});
  await allowEveryone(api.db, api.organizationId, 30);
  rmSync(calls, { force: true });
});

const commands = (): string[] => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []);
const sized = (size: number) => ({ rich_parameter_values: [{ name: 'size', value: String(size) }] });
const create = (size: number, of: JsonValue = template) =>
  createWorkspace(api, { name: `q-${(names += 1)}`, template_id: of.id, ...sized(size) }, ann.token);
const over = async (workspace: JsonValue) => buildOver(api, workspace.latest_build.id, ann.token);
const next = (workspaceId: string, transition: 'start' | 'stop' | 'delete', values: object = {}) =>
  build(api, workspaceId, { transition, ...values }, ann.token);
const quota = async () =>
  (await api.request('GET', '/api/v2/organizations/default/members/me/workspace-quota', { token: ann.token })).body;
const logOf = async (buildId: string): Promise<{ stage: string; log_level: string; output: string }[]> =>
  (await api.request('GET', `/api/v2/workspacebuilds/${buildId}/logs`, { token: ann.token })).body;
const stagesOf = async (buildId: string) => [...new Set((await logOf(buildId)).map(({ stage }) => stage))];
const stateBytes = async (workspaceId: string) =>
  (await getStartingState(api.db, stack.provisioner.cipher, { workspaceId, buildNumber: 1_000 }))?.bytes;

describe('a build of a template that costs', () => {
  test('takes its cost from the plan, before it is applied; a stop gives back what it does not keep', async () => {
    const workspace = await create(8);
    const started = await over(workspace);
    expect(started.job.error).toBeUndefined();
    expect(started).toMatchObject({ status: 'running', daily_cost: 10 });
    expect(commands()).toEqual(['plan', 'show', 'apply']);
    expect(await quota()).toEqual({ credits_consumed: 10, budget: 30 });
    const stages = await stagesOf(started.id);
    expect(stages.slice(-4)).toEqual(['Planning infrastructure', 'Commit quota', 'Starting workspace', 'Cleaning Up']);
    const lines = (await logOf(started.id)).filter(({ stage, output }) => stage === 'Commit quota' && output !== '');
    expect(lines.map(({ log_level }) => log_level)).toEqual(['info', 'info', 'info']);
    expect(lines.map(({ output }) => output.split(' ').slice(0, 2).join(' '))).toEqual([
      'Cost: 10',
      'Budget: 30',
      'Consumed: 0',
    ]);

    const stopped = await next(workspace.id, 'stop');
    expect(stopped).toMatchObject({ status: 'stopped', daily_cost: 2 });
    expect(await stagesOf(stopped.id)).toContain('Commit quota');
    expect(await quota()).toEqual({ credits_consumed: 2, budget: 30 });

    rmSync(calls);
    const deleted = await next(workspace.id, 'delete');
    expect(deleted.status).toBe('deleted');
    expect(commands()).toEqual(['apply']);
    expect(await quota()).toEqual({ credits_consumed: 0, budget: 30 });
  });

  test('beyond the budget begins no apply, leaves the state byte by byte, and says what is missing', async () => {
    const workspace = await create(18);
    expect((await over(workspace)).status).toBe('running');
    const before = await stateBytes(workspace.id);
    rmSync(calls);
    const refused = await next(workspace.id, 'start', sized(29));
    expect(refused).toMatchObject({ status: 'failed', daily_cost: 31, job: { error_code: 'INSUFFICIENT_QUOTA' } });
    expect(refused.job.error).toMatch(
      /^Insufficient quota: the workspace would cost 31 credits a day, and 30 are left\./,
    );
    expect(commands()).toEqual(['plan', 'show']);
    expect(await stateBytes(workspace.id)).toEqual(before);
    expect(await stagesOf(refused.id)).not.toContain('Starting workspace');
    const warned = (await logOf(refused.id)).filter(({ log_level }) => log_level === 'warn');
    expect(warned).toMatchObject([{ stage: 'Commit quota' }]);
    // The machine of before still runs, and still costs.
    expect(await quota()).toEqual({ credits_consumed: 20, budget: 30 });
  });

  test('refused as the first of its workspace leaves nothing that a delete would need Terraform for', async () => {
    const workspace = await create(29);
    expect(await over(workspace)).toMatchObject({ status: 'failed', job: { error_code: 'INSUFFICIENT_QUOTA' } });
    expect(await stateBytes(workspace.id)).toBeUndefined();
    rmSync(calls);
    expect((await next(workspace.id, 'delete')).status).toBe('deleted');
    expect(commands()).toEqual([]);
  });

  test('may stop, shrink and delete when the budget is exceeded', async () => {
    const workspace = await create(18);
    const other = await create(8);
    for (const each of [workspace, other]) expect((await over(each)).status).toBe('running');
    await allowEveryone(api.db, api.organizationId, 5);
    expect((await next(workspace.id, 'start', sized(18))).job.error_code).toBe('INSUFFICIENT_QUOTA');
    expect(await next(workspace.id, 'start', sized(17))).toMatchObject({ status: 'running', daily_cost: 19 });
    expect(await next(workspace.id, 'stop')).toMatchObject({ status: 'stopped', daily_cost: 2 });
    expect((await next(other.id, 'delete')).status).toBe('deleted');
    expect(await quota()).toEqual({ credits_consumed: 2, budget: 5 });
  });

  test('runs after the same request once more when there is room', async () => {
    await allowEveryone(api.db, api.organizationId, 9);
    const workspace = await create(8);
    expect((await over(workspace)).job.error_code).toBe('INSUFFICIENT_QUOTA');
    await allowEveryone(api.db, api.organizationId, 10);
    const again = await next(workspace.id, 'start');
    expect(again.job).not.toHaveProperty('error_code');
    expect(again).toMatchObject({ status: 'running', daily_cost: 10 });
  });

  test('gets the rest of the budget only once when two ask for it at the same time', async () => {
    expect((await over(await create(18))).status).toBe('running');
    const workspaces = await Promise.all([create(8), create(8)]);
    const ends = await Promise.all(workspaces.map(over));
    expect(ends.filter(({ status }) => status === 'running')).toHaveLength(1);
    expect(ends.find(({ status }) => status === 'failed').job.error_code).toBe('INSUFFICIENT_QUOTA');
    expect(await quota()).toEqual({ credits_consumed: 30, budget: 30 });
  });
});

describe('no plan of its own', () => {
  test('is made for a template without costs', async () => {
    const free = await createTemplate(api, 'basic');
    rmSync(calls);
    const workspace = await createWorkspace(api, { name: `q-${(names += 1)}`, template_id: free.id }, ann.token);
    expect((await over(workspace)).status).toBe('running');
    expect((await next(workspace.id, 'stop')).status).toBe('stopped');
    expect(commands()).toEqual(['apply', 'apply']);
  });

  test('is made where quota is switched off', async () => {
    const provisioner = stack.provisioner as { quotaEnabled: boolean };
    provisioner.quotaEnabled = false;
    try {
      await allowEveryone(api.db, api.organizationId, 0);
      expect(await over(await create(8))).toMatchObject({ status: 'running', daily_cost: 10 });
      expect(commands()).toEqual(['apply']);
    } finally {
      provisioner.quotaEnabled = true;
    }
  });

  test('but one is, when the version was imported before it was noted whether it may cost', async () => {
    await api.db.execute(sql`
      update template_version_terraform_values set template_references = template_references - 'mayCost'
      where template_version_id = ${template.active_version_id}`);
    expect(await over(await create(8))).toMatchObject({ status: 'running', daily_cost: 10 });
    expect(commands()).toEqual(['plan', 'show', 'apply']);
  });
});

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestApi } from '../support/api.ts';
import { startApiStack } from '../support/stack.ts';
import { build, buildOver, createTemplate, createWorkspace } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
beforeAll(async () => {
  ({ api, stop } = await startApiStack());
});
afterAll(() => stop());

test('a workspace is created, stopped, started with another parameter and deleted', async () => {
  const token = api.ownerToken;
  const template = await createTemplate(api, 'basic');
  const workspace = await createWorkspace(api, { name: 'dev', template_id: template.id });
  expect(workspace.latest_build).toMatchObject({ status: 'pending', transition: 'start', build_number: 1 });

  const first = await buildOver(api, workspace.latest_build.id);
  expect(first.job.error).toBeUndefined();
  expect(first.status).toBe('running');
  const machine = first.resources.find((resource: { name: string }) => resource.name === 'machine');
  expect(machine.agents).toMatchObject([{ name: 'main', apps: [{ slug: 'code' }], status: 'connecting' }]);
  const home = first.resources.find((resource: { name: string }) => resource.name === 'home');
  expect(home).toMatchObject({ daily_cost: 0, metadata: [{ key: 'size', value: '1' }] });
  expect(first.daily_cost).toBe(0);

  const stopped = await build(api, workspace.id, { transition: 'stop' });
  expect(stopped.status).toBe('stopped');
  expect(stopped.resources.map((resource: { name: string }) => resource.name)).toEqual(['home']);

  const again = await build(api, workspace.id, {
    transition: 'start',
    rich_parameter_values: [{ name: 'size', value: '4' }],
  });
  expect(again.status).toBe('running');
  const parameters = await api.request('GET', `/api/v2/workspacebuilds/${again.id}/parameters`, { token });
  expect(parameters.body).toEqual([{ name: 'size', value: '4' }]);

  const deleted = await build(api, workspace.id, { transition: 'delete' });
  expect(deleted.status).toBe('deleted');
  expect((await api.request('GET', `/api/v2/workspaces/${workspace.id}`, { token })).status).toBe(410);
  const list = await api.request('GET', '/api/v2/workspaces', { token });
  expect(list.body).toEqual({ workspaces: [], count: 0 });
});

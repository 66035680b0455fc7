import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workspaceBuildParameters } from '../../db/schema/workspaces.ts';
import type { TestApi } from '../support/api.ts';
import { templateFiles } from '../support/builders.ts';
import { startApiStack } from '../support/stack.ts';
import { build, buildOver, createTemplate, createWorkspace, importVersion } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
beforeAll(async () => {
  ({ api, stop } = await startApiStack());
});
afterAll(() => stop());

test('a parameter that a template update made invalid does not lock the workspace', async () => {
  const template = await createTemplate(api, 'basic');
  const created = await createWorkspace(api, { name: 'dev', template_id: template.id });
  const first = await buildOver(api, created.latest_build.id);
  expect(first.status).toBe('running');
  const files = templateFiles('basic');
  const narrow = { 'main.tf': files['main.tf']!.replace('max = 8', 'max = 2') };
  const version = await importVersion(api, narrow, { templateId: template.id });
  // As if the value had been chosen while the template still allowed it, and taken over by a stop since.
  const over = await build(api, created.id, { transition: 'stop', template_version_id: version.id });
  await api.db
    .update(workspaceBuildParameters)
    .set({ value: '7' })
    .where(eq(workspaceBuildParameters.workspaceBuildId, over.id));

  const deleted = await build(api, created.id, { transition: 'delete' });
  expect(deleted.job.error).toBeUndefined();
  expect(deleted.status).toBe('deleted');
  const logs = await api.request('GET', `/api/v2/workspacebuilds/${deleted.id}/logs`, { token: api.ownerToken });
  expect(logs.text).toContain('the values of the last successful start are used');
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workspaceAgentStats } from '../../db/schema/agent-reports.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate } from '../support/template-rows.ts';
import { type Cli, createCli } from './support/run.ts';

let api: TestApi;
let served: ServedApi;
let cli: Cli;
beforeAll(async () => {
  api = await createTestApi();
  served = await serveApi(api);
  cli = createCli({ url: served.url, token: api.ownerToken });
});
afterAll(async () => {
  await served.close();
  await api.close();
});

test('templates activity shows the days on which somebody used a template', async () => {
  const template = await createTemplate(api, { name: 'lively' });
  expect((await cli('templates', 'activity', 'lively')).stdout).toBe('Nobody used lively in the last 60 days\n');
  // Noon of the days of this machine's clock.
  const noon = new Date(new Date().setHours(12, 0, 0, 0)).getTime();
  for (const [userId, daysAgo] of [
    [api.owner.id, 3],
    [api.owner.id, 1],
    [randomUUID(), 1],
  ] as const)
    await api.db.insert(workspaceAgentStats).values({
      createdAt: new Date(noon - daysAgo * 86_400_000),
      userId,
      agentId: randomUUID(),
      workspaceId: randomUUID(),
      templateId: template.id,
      usage: true,
    });
  const { entries } = (await cli('templates', 'activity', 'lively', '--json')).json();
  expect(entries).toHaveLength(60);
  const [before, yesterday] = [entries.at(-4), entries.at(-2)];
  expect([before.amount, yesterday.amount]).toEqual([1, 2]);
  const shown = await cli('templates', 'activity', 'lively');
  expect(shown, shown.stderr).toMatchObject({ code: 0 });
  expect(shown.stdout).toBe(`DAY         USERS\n${before.date}  1\n${yesterday.date}  2\n`);
  expect(await cli('templates', 'activity', 'nowhere')).toMatchObject({ code: 4 });
});

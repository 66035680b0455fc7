import proto from '@temporalio/proto';
import { sql } from 'drizzle-orm';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonValue, TestApi } from '../support/api.ts';
import { filesOf } from '../support/builders.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { type TestStack, startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { build, buildOver, createTemplate, createWorkspace } from '../support/workspaces.ts';
import { freePort } from '../../toolchain/process.ts';
import { exampleDirectory } from '../cli/support/cli-stack.ts';

let api: TestApi;
let stack: TestStack;
let served: ServedApi;
let stop: () => Promise<void>;
const baseDirectory = mkdtempSync(join(tmpdir(), 'berth-canary-'));
beforeAll(async () => {
  const port = await freePort();
  ({ api, stack, stop } = await startApiStack({ env: { CODER_ACCESS_URL: `http://127.0.0.1:${port}` } }));
  served = await serveApi(api, { port });
});
afterAll(async () => {
  await served.close();
  await stop();
  rmSync(baseDirectory, { recursive: true, force: true });
});

const canary = 'canary-7f3d9b1c5e';
/** As it may appear: plain, base64 (of the JSON's value, or shifted by what stands before it), hexadecimal of a bytea. */
const forms = [canary, Buffer.from(canary).toString('base64').replaceAll('=', ''), Buffer.from(canary).toString('hex')];

/** Every row of every table as text. */
async function databaseText(): Promise<Map<string, string>> {
  const tables = await api.db.execute<{ name: string }>(
    sql`select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`,
  );
  const texts = new Map<string, string>();
  for (const { name } of tables) {
    const rows = await api.db.execute<{ row: string }>(sql.raw(`select to_jsonb(t)::text as row from "${name}" t`));
    texts.set(name, rows.map(({ row }) => row).join('\n'));
  }
  return texts;
}

const { History } = proto.temporal.api.history.v1;
async function historyText(): Promise<string> {
  const texts: string[] = [];
  for await (const { workflowId } of stack.client.workflow.list())
    texts.push(
      // As bytes: payloads stand in it as they are.
      Buffer.from(History.encode(await stack.client.workflow.getHandle(workflowId).fetchHistory()).finish()).toString(
        'latin1',
      ),
    );
  expect(texts.length).toBeGreaterThan(2);
  // What is there can be found.
  expect(texts.join('')).toContain('buildWorkspace');
  return texts.join('\n');
}

test('a user’s secret reaches his agent and nothing else: no table, history, log or answer holds it', async () => {
  const token = api.ownerToken;
  for (const body of [
    { name: 'api', value: `${canary}-env`, env_name: 'DEMO_API_TOKEN' },
    { name: 'netrc', value: `${canary}-file`, file_path: '~/.netrc' },
  ])
    expect((await api.request('POST', '/api/v2/users/me/secrets', { token, body })).status).toBe(201);
  const template = await createTemplate(api, 'local', {
    files: filesOf(exampleDirectory('local-process')),
    variables: [
      { name: 'base_directory', value: baseDirectory },
      { name: 'pool_size', value: '0' },
    ],
  });
  const workspace = await createWorkspace(api, { name: 'dev', template_id: template.id });
  const started = await buildOver(api, workspace.latest_build.id);
  expect(started.job.error).toBeUndefined();
  const agentOf = async (): Promise<JsonValue> =>
    (await api.request('GET', `/api/v2/workspaces/${workspace.id}`, { token })).body.latest_build.resources
      .flatMap((resource: JsonValue) => resource.agents ?? [])
      .at(0);
  const agent = await waitFor('the agent to be ready', async () => {
    const now = await agentOf();
    return now.lifecycle_state === 'ready' && now;
  });
  const [directory = ''] = readdirSync(baseDirectory);
  const file = join(baseDirectory, directory, 'home', '.netrc');
  expect(readFileSync(file, 'utf8')).toBe(`${canary}-file`);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const { pid } = { pid: Number(readFileSync(join(baseDirectory, directory, 'agent.pid'), 'utf8')) };
  // Its own environment, which anybody of this account may read, has none of it; what it starts has.
  expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain(canary);

  const agentToken = /CODER_AGENT_TOKEN=([0-9a-f-]{36})/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))![1]!;
  const answers = await Promise.all(
    [`/workspaces/${workspace.id}`, '/workspaces', '/users/me/secrets', `/workspaceagents/${agent.id}`, '/audit']
      .concat([`/workspaceagents/${agent.id}/logs`, `/workspacebuilds/${started.id}/logs`])
      .map((path) => api.request('GET', `/api/v2${path}`, { token })),
  );
  await build(api, workspace.id, { transition: 'stop' });
  await build(api, workspace.id, { transition: 'delete' });
  expect(existsSync(file)).toBe(false);

  const histories = await historyText();
  const tables = await databaseText();
  expect(tables.get('workspace_agent_logs')).toContain('the cache is at');
  for (const form of [...forms, agentToken, Buffer.from(agentToken).toString('base64')]) {
    expect(histories.includes(form)).toBe(false);
    expect(api.logs.filter((line) => line.includes(form))).toEqual([]);
    expect(answers.filter(({ text }) => text.includes(form))).toEqual([]);
    expect([...tables].filter(([, text]) => text.includes(form)).map(([name]) => name)).toEqual([]);
  }
});

import { eq, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createFinishJob } from '../../activities/finish-job.ts';
import { agentLogsChannel, notify, workspacesChannel } from '../../db/notifications.ts';
import { workspaceAgentScriptTimings } from '../../db/schema/agent-reports.ts';
import {
  workspaceAgentConnections,
  workspaceAgentLogs,
  workspaceAgentMetadataValues,
  workspaceAgents,
} from '../../db/schema/workspace-agents.ts';
import { workspaceBuilds, workspaces } from '../../db/schema/workspaces.ts';
import { insertAgentOf, insertAppOf, insertScriptOf } from '../support/agent-rows.ts';
import type { TestAgent } from '../support/agent-rows.ts';
import { type JsonValue, type TestApi, createTestApi } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { takeBuild } from '../support/build-rows.ts';
import { createTemplate, insertBuildOf, insertWorkspaceOf } from '../support/template-rows.ts';
import { type Cli, createCli } from './support/run.ts';

let api: TestApi;
let served: ServedApi;
let cli: Cli;
let template: JsonValue;
let workspaceId: string;
let agent: TestAgent;
const source = randomUUID();

beforeAll(async () => {
  api = await createTestApi({
    env: { CODER_EXPERIMENTS: 'workspace-build-updates', CODER_ACCESS_URL: 'https://berth.example' },
  });
  served = await serveApi(api);
  template = await createTemplate(api);
});
afterAll(async () => {
  await served.close();
  await api.close();
});
beforeEach(async () => {
  cli = createCli({ url: served.url, token: api.ownerToken });
  await api.db.update(workspaces).set({ name: sql`left(id::text, 8)` });
  workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id });
  await api.db.update(workspaces).set({ name: 'dev' }).where(eq(workspaces.id, workspaceId));
  agent = await insertAgentOf(api, workspaceId, { metadataKeys: ['load', 'disk'], sources: [source] });
});

const changed = (): Promise<void> => notify(api.db, workspacesChannel, workspaceId);
const changeAgent = async (columns: Partial<typeof workspaceAgents.$inferInsert>): Promise<void> => {
  await api.db.update(workspaceAgents).set(columns).where(eq(workspaceAgents.id, agent.id));
  await changed();
};
const connectAgent = async (columns: Partial<typeof workspaceAgentConnections.$inferInsert> = {}): Promise<void> => {
  const now = new Date();
  await api.db
    .update(workspaceAgentConnections)
    .set({ firstConnectedAt: new Date(now.getTime() - 60_000), lastConnectedAt: now, ...columns })
    .where(eq(workspaceAgentConnections.agentId, agent.id));
  api.clock.now = now;
  await changed();
};
const addLog = async (...lines: string[]): Promise<void> => {
  await api.db
    .insert(workspaceAgentLogs)
    .values(lines.map((output) => ({ agentId: agent.id, createdAt: new Date(), output, logSourceId: source })));
  await notify(api.db, agentLogsChannel, agent.id);
};
const until = async (condition: () => boolean): Promise<void> => {
  for (const deadline = Date.now() + 10_000; !condition(); await delay(5))
    if (Date.now() > deadline) throw new Error('the condition did not come true in 10 s');
};
/** A command that goes on: what it has said, and its end. */
function start(...args: string[]) {
  const said = { text: '' };
  const running = cli.with({ onOutput: (text) => (said.text += text) }, ...args);
  return { said, running, hears: (text: string) => until(() => said.text.includes(text)) };
}

test('show tells how agents, apps and scripts are and what the agent measures', async () => {
  await connectAgent();
  await changeAgent({ lifecycleState: 'start_error' });
  await insertAppOf(api.db, agent.id, { slug: 'page', url: 'http://x', health: 'unhealthy' });
  const ended = await insertScriptOf(api.db, agent.id, { displayName: 'Install' });
  await insertScriptOf(api.db, agent.id, { displayName: 'Nightly', runOnStart: false, cron: '0 0 3 * * *' });
  await api.db.insert(workspaceAgentScriptTimings).values({
    scriptId: ended,
    startedAt: new Date(0),
    endedAt: new Date(1),
    exitCode: 3,
    stage: 'start',
    status: 'exit_failure',
  });
  await api.db.insert(workspaceAgentMetadataValues).values({
    workspaceAgentId: agent.id,
    key: 'load',
    value: '0.5\u001B]0;evil\u0007',
    error: '',
    collectedAt: new Date(),
  });
  const { stdout, stderr, code } = await cli('show', 'dev');
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toContain('health     unhealthy: main (agent startup script exited with an error)');
  expect(stdout).toContain('  agent main: connected, start_error, linux/amd64\n    agent startup script exited with');
  expect(stdout).toMatch(/connected since: 1 m \d+ s ago/);
  expect(stdout).toContain('    load: 0.5\n    disk: (not yet)\n');
  expect(stdout).toContain('    app page (unhealthy): http://x');
  expect(stdout).toContain('    script Install (start): failed with 3');
  expect(stdout).toContain('    script Nightly (0 0 3 * * *)\n');
  expect((await cli('show', 'dev', '--json')).json().agent_metadata[agent.id]).toMatchObject([
    { description: { key: 'load' } },
    { description: { key: 'disk' } },
  ]);
  await connectAgent({ disconnectedAt: new Date(Date.now() + 1_000) });
  expect((await cli('show', 'dev')).stdout).toMatch(/agent main: disconnected.*\n.*lost connection\n +last seen: /);
});

test('the log of an agent is printed with its sources, and needs a name only when there are several', async () => {
  await addLog('one', 'two \u001B[2Jthree');
  const printed = await cli('logs', 'dev', '--agent');
  expect(printed, printed.stderr).toMatchObject({ code: 0 });
  expect(printed.stdout).toMatch(/^\d\d:\d\d:\d\d \[Script\] one\n\d\d:\d\d:\d\d \[Script\] two three\n$/);
  expect((await cli('logs', 'dev', '--agent', 'main', '--json')).json()).toMatchObject([{ output: 'one' }, {}]);
  expect(await cli('logs', 'dev', '--agent', 'other')).toMatchObject({ code: 4 });
  await insertAgentOf(api, workspaceId, { columns: { name: 'second' } });
  const which = await cli('logs', 'dev', '-a');
  expect([which.code, which.stderr]).toEqual([2, expect.stringContaining('one of: main, second')]);
  await changeAgent({ logsOverflowed: true });
  expect((await cli('logs', 'dev', '-a', 'main')).stdout).toContain('the limit of this log is reached');
});

test('a followed log goes on with each line until another build takes the place of the agent', async () => {
  await addLog('before');
  const { running, hears } = start('logs', 'dev', '--agent', '-f');
  await hears('before');
  await addLog('while');
  await hears('while');
  await insertBuildOf(api.db, { workspaceId, versionId: template.active_version_id, transition: 'stop', runMs: 1 });
  await changed();
  const { code, stdout, stderr } = await running;
  expect([code, stderr]).toEqual([0, '']);
  expect([...stdout.matchAll(/\] (\w+)$/gm)].map((match) => match[1])).toEqual(['before', 'while']);
});

test('Ctrl-C ends the following of a log with 130; with --json each row is a line', async () => {
  await addLog('before');
  const { running, hears } = start('logs', 'dev', '-f', '-a', '--json');
  await hears('before');
  cli.interrupt();
  const { code, stdout } = await running;
  expect(code).toBe(130);
  expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({ output: 'before', source_id: source });
});

test('watching a workspace prints its state at first and then what changes, until it is deleted', async () => {
  const { said, running, hears } = start('watch', 'dev');
  await hears('dev: running (build 1, start succeeded)');
  await hears('agent main: connecting, created');
  await hears('health: unhealthy: main (agent has not yet connected)');
  await connectAgent();
  await hears('agent main: connected, created');
  await hears('health: healthy');
  const before = said.text.length;
  await changeAgent({ lifecycleState: 'ready' });
  await hears('agent main: connected, ready');
  expect(said.text.slice(before).trim().split('\n')).toHaveLength(1);
  await insertBuildOf(api.db, { workspaceId, versionId: template.active_version_id, transition: 'delete', runMs: 1 });
  await changed();
  await hears('dev: deleted (build 2, delete succeeded)');
  expect((await running).code).toBe(0);
});

test('watching with --json gives one workspace a line, and Ctrl-C is its ordinary end', async () => {
  const { said, running, hears } = start('watch', 'dev', '--json');
  await hears('"name":"dev"');
  await connectAgent();
  await until(() => said.text.split('\n').length > 2);
  cli.interrupt();
  const { code, stdout } = await running;
  expect(code).toBe(0);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as JsonValue);
  expect(lines.map(({ health }) => health.healthy)).toEqual([false, true]);
  expect(await cli('watch', 'nothing')).toMatchObject({ code: 4 });
});

test('watching all builds names each with its status; others are told what they may watch', async () => {
  const created = await api.request('POST', '/api/v2/users/me/workspaces', {
    token: api.ownerToken,
    body: { name: 'fresh', template_id: template.id },
  });
  const build = created.body.latest_build;
  const [row] = await api.db.execute<{ at: number }>(
    sql`select update_sequence::int as at from provisioner_jobs where id = ${build.job.id}`,
  );
  const { running, hears } = start('watch', '--after', String(row!.at - 1));
  await hears('owner/fresh, build 1, start: pending');
  const { jobId } = await takeBuild(api.db, build.id);
  await hears('owner/fresh, build 1, start: running');
  await createFinishJob({ db: api.db })({ jobId, outcome: 'failed' });
  await hears('owner/fresh, build 1, start: failed');
  cli.interrupt();
  expect((await running).code).toBe(0);
  const member = await api.createUser();
  const refused = await createCli({ url: served.url, token: member.token })('watch');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('berth watch <workspace>')]);
});

test('the command of an external agent is printed for its machine', async () => {
  expect(await cli('external-agent', 'credentials', 'dev')).toMatchObject({ code: 4 });
  expect((await cli('external-agent', 'list')).stdout).toContain('No workspace has an external agent');
  await api.db
    .update(workspaceBuilds)
    .set({ hasExternalAgent: true })
    .where(eq(workspaceBuilds.workspaceId, workspaceId));
  const { stdout, code } = await cli('external-agent', 'credentials', 'dev', 'main');
  expect([code, stdout]).toEqual([
    0,
    `curl -fsSL "https://berth.example/api/v2/init-script/linux/amd64" | CODER_AGENT_TOKEN="${agent.token}" sh\n`,
  ]);
  expect((await cli('external-agent', 'credentials', 'dev', '--json')).json().agent_token).toBe(agent.token);
  const list = await cli('external-agent', 'list');
  expect(list.stdout).toMatch(/owner\/dev +running +main +connecting +linux\/amd64/);
});

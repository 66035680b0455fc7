import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../toolchain/process.ts';
import { workspaceAgentLogs, workspaceAgents } from '../../db/schema/workspace-agents.ts';
import { createAgentMachine } from '../support/agent-process.ts';
import { type TestAgent, insertAgentOf, insertScriptOf } from '../support/agent-rows.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';
import { createWorkerHost } from '../support/worker-process.ts';

/** The API as a process that can be killed, and the real agent beside it; Temporal is not there at all (spec/05 §20). */
let api: TestApi;
let host: ReturnType<typeof createWorkerHost>;
let template: Awaited<ReturnType<typeof createTemplate>>;
let port: number;
beforeAll(async () => {
  api = await createTestApi();
  port = await freePort();
  host = createWorkerHost({
    url: api.deps.config.CODER_PG_CONNECTION_URL!,
    namespace: 'nowhere',
    encryptionKey: Buffer.alloc(32, 1).toString('base64'),
    env: { CODER_HTTP_ADDRESS: `127.0.0.1:${port}`, TEMPORAL_ADDRESS: '127.0.0.1:1' },
  });
  template = await createTemplate(api);
});
afterAll(async () => {
  host.remove();
  await api.close();
});

const newAgent = async (script: string): Promise<TestAgent> => {
  const agent = await insertAgentOf(api, await insertWorkspaceOf(api.db, template, { ownerId: api.owner.id }));
  const source = agent.id;
  await insertScriptOf(api.db, agent.id, { script, logSourceId: source });
  await api.request('POST', '/api/v2/workspaceagents/me/log-source', {
    token: agent.token,
    body: { id: source, display_name: 'Script' },
  });
  return agent;
};
const stateOf = async ({ id }: TestAgent) =>
  (
    await api.db
      .select({ state: workspaceAgents.lifecycleState })
      .from(workspaceAgents)
      .where(eq(workspaceAgents.id, id))
  )[0]!.state;
const outputsOf = async ({ id }: TestAgent): Promise<string[]> =>
  (
    await api.db
      .select({ output: workspaceAgentLogs.output })
      .from(workspaceAgentLogs)
      .where(eq(workspaceAgentLogs.agentId, id))
      .orderBy(workspaceAgentLogs.id)
  ).map(({ output }) => output);

test('an API that dies again and again costs no log line, and runs no start script twice', async () => {
  const lines = 300;
  const agent = await newAgent(
    `echo started >> "$HOME/ledger"; i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo "line $i"; sleep 0.03; done`,
  );
  const machine = createAgentMachine();
  onTestFinished(() => machine.remove());
  let server = await host.startApi();
  await machine.start({ url: server.url, token: agent.token });
  for (const [untilLine, signal] of [
    [30, 'SIGKILL'],
    [120, 'SIGTERM'],
    [200, 'SIGKILL'],
  ] as const) {
    await waitFor(`line ${untilLine}`, async () => (await outputsOf(agent)).includes(`line ${untilLine}`));
    await server.end(signal);
    server = await host.startApi();
  }
  await waitFor('the agent to be ready', async () => (await stateOf(agent)) === 'ready');
  await waitFor('the last line', async () => (await outputsOf(agent)).includes(`line ${lines}`));
  const outputs = await outputsOf(agent);
  const distinct = outputs.filter((line, index) => outputs.indexOf(line) === index);
  expect(distinct).toEqual(Array.from({ length: lines }, (_, index) => `line ${index + 1}`));
  // A batch whose answer was lost with the server comes once more: a quarter of a second's lines for each end.
  expect(outputs.length - distinct.length).toBeLessThanOrEqual(3 * 15);
  expect(machine.lines('ledger')).toEqual(['started']);
  await machine.end('SIGTERM');
  await server.end('SIGTERM');
}, 120_000);

test('an agent that is killed begins anew when it comes back, and is seen to be away meanwhile', async () => {
  const agent = await newAgent('echo started >> "$HOME/ledger"');
  const machine = createAgentMachine();
  onTestFinished(() => machine.remove());
  const server = await host.startApi();
  const status = async () => {
    const response = await fetch(`${server.url}/api/v2/workspaceagents/${agent.id}`, {
      headers: { 'Coder-Session-Token': api.ownerToken },
    });
    return ((await response.json()) as { status: string }).status;
  };
  await machine.start({ url: server.url, token: agent.token });
  await waitFor('the agent to be ready', async () => (await stateOf(agent)) === 'ready');
  await machine.end('SIGKILL');
  await waitFor('it to be seen away', async () => (await status()) === 'disconnected');
  await machine.start({ url: server.url, token: agent.token });
  await waitFor('it to run again', async () => machine.lines('ledger').length === 2);
  await waitFor(
    'it to be ready again',
    async () => (await stateOf(agent)) === 'ready' && (await status()) === 'connected',
  );
  expect(await machine.end('SIGTERM')).toBe(0);
  await waitFor('it to be off', async () => (await stateOf(agent)) === 'off');
  await server.end('SIGTERM');
});

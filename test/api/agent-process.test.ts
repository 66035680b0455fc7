import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { loadAgentBundle } from '../../agent/bundle.ts';
import { initScript, renderInitScript } from '../../agent/init-script.ts';
import { requestShutdowns } from '../../db/queries/agent-shutdowns.ts';
import { insertAgentOf, insertScriptOf } from '../support/agent-rows.ts';
import { createTestApi } from '../support/api.ts';
import type { JsonValue, TestApi, TestUser } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { createTemplate, insertWorkspaceOf } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';

/** The real agent against the real API: both sides of the protocol as they are shipped. */
let api: TestApi;
let served: ServedApi;
let template: Awaited<ReturnType<typeof createTemplate>>;
let owner: TestUser;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'berth-agent-process-'));
  api = await createTestApi({ env: { BERTH_DATA_DIR: directory } });
  served = await serveApi(api);
  template = await createTemplate(api);
  owner = await api.createUser();
  const secret = { name: 'netrc', value: 'canary', env_name: 'API_TOKEN', file_path: '~/.netrc' };
  await api.request('POST', '/api/v2/users/me/secrets', { token: owner.token, body: secret });
});
afterAll(async () => {
  await served.close();
  await api.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A machine that runs the init script, as a template would start it. */
async function boot(token: string) {
  const home = mkdtempSync(join(directory, 'home-'));
  const { sha256 } = await loadAgentBundle({ directory: join(directory, 'agent') });
  const script = renderInitScript(initScript({ os: 'linux', arch: 'amd64', agentSha256: sha256 }), {
    accessUrl: served.url,
    authType: 'token',
  });
  const child = spawn('/bin/sh', ['-c', script], {
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      TMPDIR: home,
      CODER_AGENT_TOKEN: token,
      CODER_AGENT_LOG_DIR: home,
      CODER_AGENT_NO_SLEEP: '1',
      CODER_AGENT_RECONNECT_SPREAD: '100ms',
    },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let diagnostics = '';
  child.stderr.on('data', (chunk: Buffer) => (diagnostics += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, home, exited, diagnostics: () => diagnostics };
}

describe('an agent started by the init script', () => {
  test('connects, runs its scripts with the owner’s secrets, reports all of it, and stops on command', async () => {
    const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: owner.id });
    const [started, stopped] = [randomUUID(), randomUUID()];
    const agent = await insertAgentOf(api, workspaceId, {
      metadataKeys: ['greeting'],
      sources: [started, stopped],
      columns: { directory: '~/code' },
    });
    const start = 'echo "$CODER_WORKSPACE_AGENT_NAME ${#API_TOKEN} $(cat ~/.netrc | wc -c)"';
    const startScript = await insertScriptOf(api.db, agent.id, {
      logSourceId: started,
      script: start,
      displayName: 'Start',
    });
    const stop = 'echo stopped > ~/stopped; echo bye';
    await insertScriptOf(api.db, agent.id, { logSourceId: stopped, script: stop, runOnStart: false, runOnStop: true });
    const { child, home, exited, diagnostics } = await boot(agent.token);

    const seen = async (): Promise<JsonValue> =>
      (await api.request('GET', `/api/v2/workspaceagents/${agent.id}`, { token: owner.token })).body;
    const inState = (state: string) => async () => (await seen()).lifecycle_state === state;
    const lines = async (): Promise<string[]> => {
      const { body } = await api.request('GET', `/api/v2/workspaceagents/${agent.id}/logs`, { token: owner.token });
      return (body as { output: string }[]).map(({ output }) => output);
    };
    await waitFor(`ready; ${diagnostics()}`, inState('ready'), 20_000);
    await waitFor('connected', async () => (await seen()).status === 'connected', 10_000);
    await waitFor('the start’s line', async () => (await lines()).includes('main 6 6'), 10_000);
    const answer = await seen();
    expect(answer).toMatchObject({ expanded_directory: join(home, 'code'), api_version: '3.0' });
    expect(answer.version).toMatch(/^v\d/);
    await waitFor(
      'its timing',
      async () =>
        ((await seen()).scripts as JsonValue[]).some((script) => script.id === startScript && script.exit_code === 0),
      10_000,
    );

    const asked = await requestShutdowns(api.db, {
      workspaceId,
      buildNumber: 2,
      reason: 'stop',
      seenWithinMs: 30_000,
    });
    expect(asked).toEqual([agent.id]);
    await waitFor('off', inState('off'), 10_000);
    expect(existsSync(join(home, 'stopped'))).toBe(true);
    await waitFor('the stop’s line', async () => (await lines()).includes('bye'), 10_000);
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(readFileSync(join(home, '.netrc'), 'utf8')).toBe('canary');
    expect(diagnostics()).not.toMatch(/canary|refused/);
    expect(diagnostics()).not.toContain(agent.token);
  });
});

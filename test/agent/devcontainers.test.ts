import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ManifestDevcontainer } from '../../agent/protocol.ts';
import { waitFor } from '../support/wait.ts';
import { script, startAgent, temporaryDirectory } from './support/builders.ts';

/** A tool that notes how it was called and says what the real one says. */
const fakeTool = `#!/bin/sh
echo "$@" >>"$HOME/ups"
echo "building" >&2
echo '{"outcome":"success","containerId":"c1","remoteWorkspaceFolder":"/workspaces/web"}'
`;
const row = (id: string, folder: string, more: Partial<ManifestDevcontainer> = {}): ManifestDevcontainer => ({
  id,
  name: id,
  workspace_folder: folder,
  config_path: '',
  subagent_id: null,
  ...more,
});
const placeholder = (id: string) => script('', { id, run_on_start: false });

function prepare({ tool = true, config = true } = {}) {
  const home = temporaryDirectory();
  mkdirSync(join(home, 'web/.devcontainer'), { recursive: true });
  mkdirSync(join(home, 'tools'));
  if (config) writeFileSync(join(home, 'web/.devcontainer/devcontainer.json'), '{}');
  const path = join(home, 'tools/devcontainer');
  const install = () => {
    writeFileSync(path, fakeTool);
    chmodSync(path, 0o755);
  };
  if (tool) install();
  return { home, env: { PATH: `${join(home, 'tools')}:${process.env['PATH'] ?? ''}` } };
}
const subAgent = { agent: { id: 'child', name: 'web', auth_token: 'child-token' }, app_creation_errors: [] };

describe('dev containers', () => {
  test('are up after the start scripts, with a tool that one of them installed, and before `ready`', async () => {
    const { home, env } = prepare({ tool: false });
    const install = script(
      `cat >$HOME/tools/devcontainer <<'EOS'\n${fakeTool}EOS\nchmod +x $HOME/tools/devcontainer; touch $HOME/installed`,
    );
    const { server } = await startAgent(
      { scripts: [install, placeholder('dc1')], devcontainers: [row('dc1', '~/web')] },
      { home, env },
    );
    server.handler = ({ path, method }) =>
      method === 'POST' && path === '/sub-agents' ? { status: 201, body: subAgent } : undefined;
    await server.waitForState('ready');
    expect(readFileSync(join(home, 'ups'), 'utf8').trim()).toBe(`up --workspace-folder ${join(home, 'web')}`);
    expect(server.to('/sub-agents')[0]?.body).toMatchObject({
      name: 'web',
      directory: '/workspaces/web',
      operating_system: 'linux',
    });
    expect(server.to('/sub-agents')[0]?.body).not.toHaveProperty('id');
    await waitFor('timings', async () => server.timings().length === 2);
    expect(server.timings().at(-1)).toMatchObject({ script_id: 'dc1', stage: 'start', status: 'ok', exit_code: 0 });
    expect(server.lines().filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('without a configuration are an error of one line; the others are up; the start has failed', async () => {
    const { home, env } = prepare();
    mkdirSync(join(home, 'empty'));
    const { server } = await startAgent(
      {
        scripts: [placeholder('dc1'), placeholder('dc2')],
        devcontainers: [row('dc1', '~/empty'), row('dc2', '~/web')],
      },
      { home, env },
    );
    await server.waitForState('start_error');
    expect(readFileSync(join(home, 'ups'), 'utf8').trim().split('\n')).toHaveLength(1);
    await waitFor('the line', async () => server.lines().some(({ level }) => level === 'error'));
    expect(server.lines().filter(({ level }) => level === 'error')).toEqual([
      expect.objectContaining({ output: expect.stringContaining('no devcontainer configuration') }),
    ]);
  });

  test('without the tool say what is missing; start scripts that failed do not keep them from trying', async () => {
    const { home, env } = prepare({ tool: false });
    const { server } = await startAgent(
      { scripts: [script('exit 1'), placeholder('dc1')], devcontainers: [row('dc1', '~/web')] },
      { home, env },
    );
    await server.waitForState('start_error');
    await waitFor('the line', async () => server.lines().some(({ output }) => output.includes('@devcontainers/cli')));
  });

  test('with a declared agent keep its id; rebuilding removes only an agent of our own', async () => {
    const { home, env } = prepare();
    const { server } = await startAgent(
      {
        scripts: [placeholder('dc1'), placeholder('dc2')],
        devcontainers: [row('dc1', '~/web', { subagent_id: 'declared' }), row('dc2', '~/web')],
      },
      { home, env },
    );
    let made = 0;
    server.handler = ({ path, method, body }) => {
      if (method !== 'POST' || path !== '/sub-agents') return undefined;
      // The first name of our own is taken.
      if (body.id === undefined && made++ === 0) return { status: 409 };
      return {
        status: body.id === undefined ? 201 : 200,
        body: { agent: { ...subAgent.agent, id: body.id ?? 'own' } },
      };
    };
    await server.waitForState('ready');
    const names = server.to('/sub-agents').map(({ body }) => [body.id, body.name]);
    expect(names).toEqual(
      expect.arrayContaining([
        ['declared', 'web'],
        [undefined, 'web'],
        [undefined, 'web-2'],
      ]),
    );
    server.send({ type: 'request', id: '1', method: 'containers.list', params: {} });
    await waitFor('the list', async () => server.answers.length === 1);
    expect(JSON.stringify(server.answers[0])).not.toContain('child-token');
    expect(server.answers[0]?.result).toMatchObject({
      devcontainers: [
        { id: 'dc1', status: 'running', container: { id: 'c1' }, agent: { id: 'declared' } },
        { id: 'dc2', status: 'running', agent: { id: 'own' } },
      ],
    });
    for (const id of ['dc1', 'dc2'])
      server.send({ type: 'request', id, method: 'devcontainers.recreate', params: { id } });
    server.send({ type: 'request', id: 'again', method: 'devcontainers.recreate', params: { id: 'dc1' } });
    await waitFor('the rebuilt ones', async () =>
      readFileSync(join(home, 'ups'), 'utf8').includes('--remove-existing-container'),
    );
    await waitFor(
      'the agents',
      async () => server.to('/sub-agents').filter(({ method }) => method === 'POST').length >= 5,
    );
    expect(server.answers.find(({ id }) => id === 'again')?.error).toBe('CONFLICT: the dev container is starting');
    expect(server.requests.filter(({ method }) => method === 'DELETE').map(({ path }) => path)).toEqual([
      '/sub-agents/own',
    ]);
  });

  test('are left alone by an agent inside one, and where they are turned off', async () => {
    const { home, env } = prepare();
    const manifest = { scripts: [placeholder('dc1')], devcontainers: [row('dc1', '~/web')] };
    const child = await startAgent({ ...manifest, parent_id: 'b7c2a3de-0000-4000-8000-00000000000f' }, { home, env });
    await child.server.waitForState('ready');
    const off = await startAgent(manifest, { home, env: { ...env, CODER_AGENT_DEVCONTAINERS_ENABLE: 'false' } });
    await off.server.waitForState('ready');
    off.server.send({ type: 'request', id: '1', method: 'containers.list', params: {} });
    await waitFor('the answer', async () => off.server.answers.length === 1);
    expect(off.server.answers[0]?.error).toBe('FORBIDDEN: dev containers are turned off');
    expect(existsSync(join(home, 'ups'))).toBe(false);
  });
});

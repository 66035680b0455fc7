import { describe, expect, test } from 'vitest';
import { commandEnvironment } from '../../agent/environment.ts';
import { emptyManifest } from './support/builders.ts';

const environment = (
  variables: Record<string, string>,
  {
    process = { PATH: '/usr/bin' },
    secrets = {},
    ...manifest
  }: { process?: Record<string, string>; secrets?: Record<string, string>; [name: string]: unknown } = {},
) =>
  commandEnvironment({
    manifest: { ...emptyManifest(), environment_variables: variables, ...manifest },
    processEnv: process,
    url: 'http://berth',
    token: 'the-token',
    agentExecutable: '/data/bin/berth-agent',
    binDir: '/data/bin',
    secrets,
    platform: 'linux',
  });

describe('the environment of commands', () => {
  test('has the bin directory first on the PATH, what the template appends last', () => {
    expect(environment({ PATH: '$PATH:/x' })['PATH']).toBe('/data/bin:/usr/bin:/x');
    expect(environment({}, { process: {} })['PATH']).toBe('/data/bin');
  });
  test('says true for CODER whatever the process says', () => {
    expect(environment({}, { process: { CODER: 'false' } })['CODER']).toBe('true');
  });
  test('lets the template overwrite what the platform sets, and a secret both', () => {
    expect(environment({})['CODER_WORKSPACE_NAME']).toBe('dev');
    expect(environment({ CODER_WORKSPACE_NAME: 'z' })['CODER_WORKSPACE_NAME']).toBe('z');
    const env = environment({ KEY: 'template' }, { process: { KEY: 'process' }, secrets: { KEY: 'se$cret' } });
    expect(env['KEY']).toBe('se$cret');
  });
  test('expands template values against the process, not against each other', () => {
    const env = environment({ A: '${HOME}/a', B: '$A' }, { process: { HOME: '/h' } });
    expect([env['A'], env['B']]).toEqual(['/h/a', '']);
  });
  test('has address, token and git commands of the agent, but not where the token came from', () => {
    const env = environment({}, { process: { CODER_AGENT_TOKEN_FILE: '/t' }, git_auth_configs: 1 });
    expect(env).toMatchObject({
      CODER_AGENT_URL: 'http://berth',
      CODER_AGENT_TOKEN: 'the-token',
      GIT_SSH_COMMAND: '/data/bin/berth-agent gitssh --',
      GIT_ASKPASS: '/data/bin/berth-agent',
    });
    expect(env).not.toHaveProperty('CODER_AGENT_TOKEN_FILE');
    expect(environment({})).not.toHaveProperty('GIT_ASKPASS');
    expect(environment({})).not.toHaveProperty('VSCODE_PROXY_URI');
    expect(environment({}, { vscode_port_proxy_uri: 'https://x' })['VSCODE_PROXY_URI']).toBe('https://x');
  });
});

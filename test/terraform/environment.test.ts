import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  type BuildEnvironmentInput,
  baseEnvironment,
  buildEnvironment,
  dryRunEnvironment,
  importEnvironment,
} from '../../terraform/environment.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const runningToken =
  'CODER_RUNNING_WORKSPACE_AGENT_TOKEN_e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const input: BuildEnvironmentInput = {
  accessUrl: 'https://berth.example.com',
  transition: 'start',
  workspace: { id: 'w-id', name: 'dev' },
  buildId: 'b-id',
  template: { id: 't-id', name: 'docker' },
  versionName: 'v1',
  owner: {
    id: 'o-id',
    username: 'ann',
    name: 'Ann Example',
    email: 'ann@example.com',
    groups: ['Everyone'],
    rbacRoles: [
      { name: 'owner', orgId: '' },
      { name: 'organization-admin', orgId: 'org' },
    ],
    loginType: 'password',
    sessionToken: 'session',
    oidcAccessToken: 'oidc',
    sshPublicKey: 'public',
    sshPrivateKey: 'private',
  },
  parameters: [{ name: 'cpu', value: '2' }],
  previousParameters: [{ name: 'cpu', value: '1' }],
  variables: [
    { name: 'region', value: 'eu' },
    { name: 'empty', value: '' },
    { name: 'needed', value: '', required: true },
  ],
  externalAuthTokens: [{ id: 'github', accessToken: 'gh' }],
  prebuildStage: 'none',
  runningAgentToken: 'running',
  agentScripts: { linux_amd64: '#!/bin/sh' },
  task: null,
  logLevel: null,
};

test('a start build gets exactly these variables', () => {
  expect(buildEnvironment(input)).toEqual({
    CODER_AGENT_URL: 'https://berth.example.com',
    CODER_WORKSPACE_TRANSITION: 'start',
    CODER_WORKSPACE_ID: 'w-id',
    CODER_WORKSPACE_NAME: 'dev',
    CODER_WORKSPACE_BUILD_ID: 'b-id',
    CODER_WORKSPACE_TEMPLATE_ID: 't-id',
    CODER_WORKSPACE_TEMPLATE_NAME: 'docker',
    CODER_WORKSPACE_TEMPLATE_VERSION: 'v1',
    CODER_WORKSPACE_OWNER: 'ann',
    CODER_WORKSPACE_OWNER_ID: 'o-id',
    CODER_WORKSPACE_OWNER_NAME: 'Ann Example',
    CODER_WORKSPACE_OWNER_EMAIL: 'ann@example.com',
    CODER_WORKSPACE_OWNER_GROUPS: '["Everyone"]',
    CODER_WORKSPACE_OWNER_RBAC_ROLES: '[{"name":"owner","org_id":""},{"name":"organization-admin","org_id":"org"}]',
    CODER_WORKSPACE_OWNER_LOGIN_TYPE: 'password',
    CODER_WORKSPACE_OWNER_SESSION_TOKEN: 'session',
    CODER_WORKSPACE_OWNER_OIDC_ACCESS_TOKEN: 'oidc',
    CODER_WORKSPACE_OWNER_SSH_PUBLIC_KEY: 'public',
    CODER_WORKSPACE_OWNER_SSH_PRIVATE_KEY: 'private',
    CODER_EXTERNAL_AUTH_ACCESS_TOKEN_github: 'gh',
    CODER_GIT_AUTH_ACCESS_TOKEN_github: 'gh',
    CODER_AGENT_SCRIPT_linux_amd64: '#!/bin/sh',
    [`CODER_PARAMETER_${sha256('cpu')}`]: '2',
    [`CODER_PARAMETER_PREVIOUS_${sha256('cpu')}`]: '1',
    TF_VAR_region: 'eu',
    TF_VAR_needed: '',
  });
});

test('an owner without groups and roles gives empty lists, never an empty text', () => {
  const environment = buildEnvironment({
    ...input,
    owner: { ...input.owner, groups: [], rbacRoles: [], loginType: null },
  });
  expect(environment).toMatchObject({ CODER_WORKSPACE_OWNER_GROUPS: '[]', CODER_WORKSPACE_OWNER_RBAC_ROLES: '[]' });
  expect(environment).not.toHaveProperty('CODER_WORKSPACE_OWNER_LOGIN_TYPE');
});

test.each([
  ['start', 'start'],
  ['stop', 'stop'],
  ['delete', 'destroy'],
] as const)('%s is spelled %s', (transition, word) => {
  expect(buildEnvironment({ ...input, transition }).CODER_WORKSPACE_TRANSITION).toBe(word);
});

describe('stages of a prebuild', () => {
  test("a pool build says so and gets nobody's credentials", () => {
    const environment = buildEnvironment({ ...input, prebuildStage: 'create' });
    expect(environment.CODER_WORKSPACE_IS_PREBUILD).toBe('true');
    expect(environment).not.toHaveProperty('CODER_WORKSPACE_IS_PREBUILD_CLAIM');
    expect(environment).not.toHaveProperty(runningToken);
    for (const secret of ['session', 'oidc', 'private', 'gh']) expect(Object.values(environment)).not.toContain(secret);
  });
  test('a claim says so and hands the running token on', () => {
    const environment = buildEnvironment({ ...input, prebuildStage: 'claim' });
    expect(environment).toMatchObject({ CODER_WORKSPACE_IS_PREBUILD_CLAIM: 'true', [runningToken]: 'running' });
    expect(environment).not.toHaveProperty('CODER_WORKSPACE_IS_PREBUILD');
    expect(environment.CODER_WORKSPACE_OWNER_SESSION_TOKEN).toBe('session');
  });
  test('a claim without a single agent hands no token on', () => {
    const environment = buildEnvironment({ ...input, prebuildStage: 'claim', runningAgentToken: null });
    expect(environment).not.toHaveProperty(runningToken);
  });
  test('an ordinary build says neither', () => {
    expect(Object.keys(buildEnvironment(input)).filter((name) => /PREBUILD|RUNNING/.test(name))).toEqual([]);
  });
});

test('debug logging and tasks are set when asked for, a nil task is none', () => {
  const task = (id: string) => buildEnvironment({ ...input, logLevel: 'debug', task: { id, prompt: 'do it' } });
  expect(task('a1')).toMatchObject({ TF_LOG: 'JSON', CODER_TASK_ID: 'a1', CODER_TASK_PROMPT: 'do it' });
  expect(task('00000000-0000-0000-0000-000000000000')).not.toHaveProperty('CODER_TASK_ID');
});

test('an import knows no workspace: no build id, no parameters', () => {
  expect(
    importEnvironment({ accessUrl: 'http://x', transition: 'stop', variables: input.variables, agentScripts: {} }),
  ).toEqual({
    CODER_AGENT_URL: 'http://x',
    CODER_WORKSPACE_TRANSITION: 'stop',
    TF_VAR_region: 'eu',
    TF_VAR_needed: '',
  });
});

test('a dry run is a start without build id', () => {
  const environment = dryRunEnvironment({
    accessUrl: 'http://x',
    workspaceName: '',
    workspaceId: 'w',
    ownerId: 'o',
    ownerUsername: 'ann',
    parameters: input.parameters,
    variables: [],
    agentScripts: {},
  });
  expect(environment).toEqual({
    CODER_AGENT_URL: 'http://x',
    CODER_WORKSPACE_TRANSITION: 'start',
    CODER_WORKSPACE_ID: 'w',
    CODER_WORKSPACE_NAME: 'dryrun',
    CODER_WORKSPACE_OWNER: 'ann',
    CODER_WORKSPACE_OWNER_ID: 'o',
    [`CODER_PARAMETER_${sha256('cpu')}`]: '2',
  });
});

describe('the base environment', () => {
  const workerEnv = {
    PATH: '/bin',
    AWS_SECRET_ACCESS_KEY: 'aws',
    CODER_PG_CONNECTION_URL: 'x',
    BERTH_TOOLS_DIR: 'x',
    TEMPORAL_API_KEY: 'x',
    PGPASSWORD: 'x',
    DATABASE_URL: 'x',
    NODE_OPTIONS: 'x',
    TF_DATA_DIR: '/elsewhere',
    TF_LOG: 'TRACE',
    TF_PLUGIN_CACHE_DIR: '/cache',
    TF_TOKEN_app_terraform_io: 'very-secret',
    TF_VAR_zone: 'b',
    UNSET: undefined,
  };
  test('keeps cloud credentials and hides our settings', () => {
    expect(baseEnvironment(workerEnv, '/etc/terraform.tfrc').env).toEqual({
      PATH: '/bin',
      AWS_SECRET_ACCESS_KEY: 'aws',
      TF_PLUGIN_CACHE_DIR: '/cache',
      TF_TOKEN_app_terraform_io: 'very-secret',
      TF_VAR_zone: 'b',
      TF_IN_AUTOMATION: '1',
      CHECKPOINT_DISABLE: '1',
      TF_CLI_CONFIG_FILE: '/etc/terraform.tfrc',
    });
  });
  test('announces inherited terraform variables, values only of harmless ones', () => {
    expect(baseEnvironment(workerEnv, null).inheritedTerraformVariables).toEqual([
      'TF_PLUGIN_CACHE_DIR=/cache',
      'TF_TOKEN_app_terraform_io=[redacted]',
      'TF_VAR_zone=[redacted]',
    ]);
    expect(baseEnvironment(workerEnv, null).env).not.toHaveProperty('TF_CLI_CONFIG_FILE');
  });
});

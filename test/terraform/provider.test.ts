import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { convertResources } from '../../terraform/convert.ts';
import { type BuildEnvironmentInput, buildEnvironment, importEnvironment } from '../../terraform/environment.ts';
import { createOutputReader } from '../../terraform/output.ts';
import { findReplacements, parsePlan, planInstances, readReferences } from '../../terraform/plan.ts';
import { createRedactor } from '../../terraform/secrets.ts';
import { parseState } from '../../terraform/state.ts';
import { readTemplateDefinition } from '../../terraform/template-definition.ts';
import { mustRun, planJson, prepare, runTerraform, scratchDir } from './support/terraform-runs.ts';

/** What the real provider does with our environment and with faulty templates. */
let dir: string;
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));
const tools = () => ({ terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') });
const header = 'terraform {\n  required_providers {\n    coder = {\n      source = "coder/coder"\n    }\n  }\n}\n';
const importing = importEnvironment({
  accessUrl: 'https://berth.example.com',
  transition: 'start',
  variables: [],
  agentScripts: {},
});

async function write(source: string): Promise<void> {
  await writeFile(join(dir, 'main.tf'), header + source);
  await mustRun(tools(), dir, ['init', '-no-color', '-input=false', '-json']);
}

/** Error text of the plan that an import would make. */
async function planError(source: string): Promise<string | null> {
  await write(source);
  const { code, stdout } = await runTerraform(tools(), dir, ['plan', '-no-color', '-input=false', '-json'], importing);
  expect(code).toBe(1);
  const reader = createOutputReader({ stage: 'plan' });
  const errors = stdout.split('\n').flatMap((line) => reader.push(line).lines.filter((row) => row.level === 'error'));
  expect(errors.length).toBeGreaterThanOrEqual(2);
  return reader.result().firstError;
}
const definitionOf = async (source: string) => {
  await write(source);
  return readTemplateDefinition(parsePlan(await planJson(tools(), dir, importing)));
};

describe('an import', () => {
  test('keeps the diagnostic of a bad slug, with its address', async () => {
    const source =
      'resource "coder_agent" "a" {\n  os = "linux"\n  arch = "amd64"\n}\nresource "coder_app" "a" {\n  agent_id = coder_agent.a.id\n  slug = "Bad_Slug"\n}\n';
    expect(await planError(source)).toMatch(/slug.*\(coder_app\.a\)/is);
  });
  test('fails in the plan for a preset description of 129 characters, 128 are fine', async () => {
    const preset = (length: number) =>
      `data "coder_workspace_preset" "p" {\n  name = "p"\n  description = "${'x'.repeat(length)}"\n}\n`;
    expect((await definitionOf(preset(128))).presets[0]?.description).toHaveLength(128);
    expect(await planError(preset(129))).toMatch(/128/);
  });
  test('refuses two presets of one name and two defaults, which the provider lets pass', async () => {
    const preset = (label: string, name: string, isDefault: boolean) =>
      `data "coder_workspace_preset" "${label}" {\n  name = "${name}"\n  default = ${isDefault}\n}\n`;
    await expect(definitionOf(preset('a', 'twin', false) + preset('b', 'twin', false))).rejects.toThrow(/"twin"/);
    await expect(definitionOf(preset('a', 'one', true) + preset('b', 'two', true))).rejects.toThrow(/"one", "two"/);
  });
  test('names a parameter that is only read during apply', async () => {
    const source =
      'resource "terraform_data" "x" {}\ndata "coder_parameter" "late" {\n  name = "late"\n  default = "1"\n  depends_on = [terraform_data.x]\n}\n';
    await expect(definitionOf(source)).rejects.toThrow(/data\.coder_parameter\.late \("late"\)/);
  });
  test('reads bounds of a parameter with a minimum only', async () => {
    const source =
      'data "coder_parameter" "n" {\n  name = "n"\n  type = "number"\n  default = 3\n  validation {\n    min = 1\n  }\n}\n';
    expect((await definitionOf(source)).parameters[0]).toMatchObject({
      validationMin: 1,
      validationMax: null,
      required: false,
      formType: 'input',
    });
  });
  test('tells the author of a required parameter with validation to give a default', async () => {
    await write('data "coder_parameter" "n" {\n  name = "n"\n  type = "number"\n  validation {\n    min = 1\n  }\n}\n');
    const { stdout } = await runTerraform(tools(), dir, ['plan', '-no-color', '-input=false', '-json'], importing);
    const reader = createOutputReader({ stage: 'plan' });
    const rows = stdout.split('\n').flatMap((line) => reader.push(line).lines);
    expect(rows).toContainEqual(
      expect.objectContaining({
        source: 'provisioner_daemon',
        output: expect.stringMatching(/needs a default/) as string,
      }),
    );
    expect(reader.result().firstError).toContain('data.coder_parameter.n');
  });
  test('can be initialised eight times at once against one mirror', async () => {
    const dirs = await Promise.all(Array.from({ length: 8 }, scratchDir));
    await Promise.all(dirs.map((one) => prepare(tools(), 'measured', one)));
    await Promise.all(dirs.map((one) => rm(one, { recursive: true })));
  });
  test('works for a template that uses the id of its template, for no build id is set', async () => {
    const source = 'data "coder_workspace" "me" {}\noutput "t" {\n  value = data.coder_workspace.me.template_id\n}\n';
    expect((await definitionOf(source)).parameters).toEqual([]);
  });
});

const owner = {
  id: randomUUID(),
  username: 'prebuilds',
  name: 'Prebuilds',
  email: 'prebuilds@example.com',
  groups: [],
  rbacRoles: [],
  loginType: 'none',
  sessionToken: '',
  oidcAccessToken: '',
  sshPublicKey: '',
  sshPrivateKey: '',
};
const build: BuildEnvironmentInput = {
  accessUrl: 'https://berth.example.com',
  transition: 'start',
  workspace: { id: randomUUID(), name: 'prebuild-x' },
  buildId: randomUUID(),
  template: { id: randomUUID(), name: 'measured' },
  versionName: 'v1',
  owner,
  parameters: [],
  previousParameters: [],
  variables: [],
  externalAuthTokens: [],
  prebuildStage: 'none',
  runningAgentToken: null,
  agentScripts: { linux_amd64: '#!/bin/sh\n# ${ACCESS_URL} ${AUTH_TYPE}\n' },
  task: null,
  logLevel: null,
};
const apply = (input: BuildEnvironmentInput, ...extra: string[]) =>
  mustRun(
    tools(),
    dir,
    ['apply', '-no-color', '-auto-approve', '-input=false', '-json', ...extra],
    buildEnvironment(input),
  );
const stateNow = async () => {
  const state = parseState(await readFile(join(dir, 'terraform.tfstate')));
  if (state === null) throw new Error('no state');
  return state;
};
const valueOf = async (address: string, key: string) =>
  (await stateNow()).instances.find((instance) => instance.address === address)?.values[key];

const oneAgent = `
data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_parameter" "size" {
  name    = "size"
  default = "small"
  mutable = true
}
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
resource "terraform_data" "container" {
  count            = data.coder_workspace.me.start_count
  input            = coder_agent.main.token
  triggers_replace = data.coder_workspace_owner.me.name
}
resource "terraform_data" "volume" {
  input = data.coder_workspace_owner.me.name
  lifecycle {
    ignore_changes = all
  }
}
resource "terraform_data" "facts" {
  input = jsonencode({
    prebuild = data.coder_workspace.me.is_prebuild
    claim    = data.coder_workspace.me.is_prebuild_claim
    size     = data.coder_parameter.size.value
    groups   = data.coder_workspace_owner.me.groups
    roles    = data.coder_workspace_owner.me.rbac_roles
    template = data.coder_workspace.me.template_name
  })
}
# Depends on something that changes: read during apply.
resource "terraform_data" "trigger" {
  input = data.coder_workspace.me.transition
}
data "coder_workspace" "late" {
  depends_on = [terraform_data.trigger]
}
resource "terraform_data" "late" {
  input = data.coder_workspace.late.name
}
`;

describe('builds', () => {
  test('a claim keeps the token of the agent, replaces what holds the owner and says so', async () => {
    await write(oneAgent);
    await apply({ ...build, prebuildStage: 'create' });
    const token = await valueOf('coder_agent.main', 'token');
    const volume = await valueOf('terraform_data.volume', 'id');
    expect(JSON.stringify(await valueOf('terraform_data.facts', 'input'))).toContain(String.raw`\"prebuild\":true`);

    const claim = {
      ...build,
      buildId: randomUUID(),
      owner: {
        ...owner,
        id: randomUUID(),
        username: 'ann',
        groups: ['Everyone'],
        rbacRoles: [{ name: 'member', orgId: '' }],
      },
      parameters: [{ name: 'size', value: 'large' }],
      prebuildStage: 'claim',
      runningAgentToken: String(token),
    } as const;
    const plan = parsePlan(await planJson(tools(), dir, buildEnvironment(claim)));
    expect(findReplacements(plan)).toEqual({ 'terraform_data.container[0]': ['triggers_replace'] });
    await mustRun(tools(), dir, ['apply', '-json', '-input=false', 'terraform.tfplan'], buildEnvironment(claim));
    expect(await valueOf('coder_agent.main', 'token')).toBe(token);
    expect(await valueOf('terraform_data.volume', 'id')).toBe(volume);
    const facts = JSON.stringify(await valueOf('terraform_data.facts', 'input'));
    for (const fact of ['claim":true', 'prebuild":false', 'size":"large', 'groups":["Everyone"]', 'name":"member"'])
      expect(facts).toContain(fact.replaceAll('"', String.raw`\"`));
  });

  test('stop keeps the volume and has no agent, start brings both back with a new token, delete leaves nothing', async () => {
    await write(oneAgent);
    const references = readReferences(
      parsePlan(await planJson(tools(), dir, importing)),
      await mustRun(tools(), dir, ['graph']),
    );
    const rows = async (transition: 'start' | 'stop' | 'delete') =>
      convertResources({ instances: (await stateNow()).instances, references, newId: randomUUID, transition });
    await apply(build);
    const token = await valueOf('coder_agent.main', 'token');
    const volume = await valueOf('terraform_data.volume', 'id');

    await apply({ ...build, transition: 'stop' });
    const stopped = await rows('stop');
    expect(stopped.resources.map((resource) => resource.address)).not.toContain('terraform_data.container[0]');
    expect(stopped.resources.flatMap((resource) => resource.agents)).toEqual([]);

    await apply(build);
    expect(await valueOf('terraform_data.volume', 'id')).toBe(volume);
    expect((await rows('start')).resources.flatMap((resource) => resource.agents)).toHaveLength(1);
    expect(await valueOf('coder_agent.main', 'token')).not.toBe(token);

    await apply({ ...build, transition: 'delete' }, '-destroy');
    expect((await rows('delete')).resources).toEqual([]);
  });

  test('a data source that is read during apply sees the same workspace', async () => {
    await write(oneAgent);
    await planJson(tools(), dir, buildEnvironment(build));
    await mustRun(tools(), dir, ['apply', '-json', '-input=false', 'terraform.tfplan'], buildEnvironment(build));
    expect(JSON.stringify(await valueOf('terraform_data.late', 'output'))).toContain('prebuild-x');
  });

  test('the init script is filled from our text', async () => {
    await write(oneAgent);
    await apply(build);
    expect(await valueOf('coder_agent.main', 'init_script')).toContain('# https://berth.example.com/ token');
  });

  test('a secret that a provisioner prints is masked', async () => {
    const source = `
variable "password" {
  sensitive = true
}
resource "terraform_data" "leak" {
  provisioner "local-exec" {
    command = "echo the password is $P"
    environment = {
      P = nonsensitive(var.password)
    }
  }
}
`;
    await write(source);
    const stdout = await apply({ ...build, variables: [{ name: 'password', value: 'sesame-open' }] });
    expect(stdout).toContain('sesame-open');
    const { redact } = createRedactor(['sesame-open']);
    const reader = createOutputReader({ stage: 'apply', redact });
    const text = stdout.split('\n').flatMap((line) => reader.push(line).lines.map((row) => row.output));
    expect(text.join('\n')).not.toContain('sesame-open');
    expect(text).toContainEqual(expect.stringContaining('the password is [redacted]'));
  });

  test('a pool build gets nothing that a start plan would store as agent of another owner', async () => {
    await prepare(tools(), 'measured', dir);
    const plan = parsePlan(await planJson(tools(), dir, buildEnvironment({ ...build, prebuildStage: 'create' })));
    expect(planInstances(plan).find((one) => one.type === 'coder_workspace_owner')?.values).toMatchObject({
      name: 'prebuilds',
      session_token: '',
      ssh_private_key: '',
    });
  });
});

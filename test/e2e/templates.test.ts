import { serve } from '@hono/node-server';
import type { WebSocketServerLike } from '@hono/node-server';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eq, inArray } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  templateVersionParameters,
  templateVersionPresetPrebuildSchedules,
  templateVersionPresets,
  templateVersionTerraformValues,
} from '../../db/schema/templates.ts';
import { workspaceResources } from '../../db/schema/workspace-agents.ts';
import { workspaces } from '../../db/schema/workspaces.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { startApiStack } from '../support/stack.ts';
import { createVersion } from '../support/template-rows.ts';
import { waitFor } from '../support/wait.ts';
import { buildOver, createWorkspace, importVersion } from '../support/workspaces.ts';

let api: TestApi;
let stopStack: () => Promise<void>;
beforeAll(async () => {
  ({ api, stop: stopStack } = await startApiStack());
});
afterAll(() => stopStack());

const providers = 'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n  }\n}\n';
const main = (text: string) => ({ 'main.tf': providers + text });
const ask = (method: string, path: string, body?: unknown) =>
  api.request(method, `/api/v2${path}`, { token: api.ownerToken, ...(body !== undefined && { body }) });
const templateOf = async (name: string, versionId: string) =>
  (await ask('POST', '/organizations/default/templates', { name, template_version_id: versionId })).body;
const logsOf = async (versionId: string) =>
  (await ask('GET', `/templateversions/${versionId}/logs`)).body as { id: number; output: string; stage: string }[];

describe('an import', () => {
  test('goes from pending to succeeded, and everything it found can be read', async () => {
    const files = {
      ...main(`
        variable "greeting" {
          default     = "hello"
          description = "What to say"
        }
        variable "token" {
          default   = "t0psecret"
          sensitive = true
        }
        data "coder_workspace" "me" {}
        data "coder_parameter" "cores" {
          name    = "cores"
          type    = "number"
          default = "2"
          mutable = true
          validation {
            min       = 1
            max       = 8
            monotonic = "increasing"
          }
        }
        data "coder_parameter" "floor" {
          name    = "floor"
          type    = "number"
          default = "2"
          validation { min = 1 }
        }
        data "coder_workspace_preset" "small" {
          name       = "small"
          parameters = { cores = "1" }
        }
        resource "terraform_data" "volume" { input = data.coder_workspace.me.template_id }
        resource "terraform_data" "container" {
          count = data.coder_workspace.me.start_count
          input = var.greeting
        }`),
      'README.md': '# Read me\n',
    };
    const created = await createVersion(api, { files });
    expect([created.status, created.body.job.status]).toEqual([201, 'pending']);
    const path = `/templateversions/${created.body.id}`;
    const version = await waitFor('the import', async () => {
      const { body } = await ask('GET', path);
      return ['succeeded', 'failed'].includes(body.job.status) ? body : undefined;
    });
    expect(version.job).toMatchObject({ status: 'succeeded', queue_position: 0, logs_overflowed: false });
    expect(version.job.started_at).toBeDefined();
    expect(version.readme).toBe('# Read me\n');
    const [cores, floor] = (await ask('GET', `${path}/rich-parameters`)).body;
    expect(cores).toMatchObject({
      name: 'cores',
      validation_min: 1,
      validation_max: 8,
      validation_monotonic: 'increasing',
      required: false,
      form_type: 'input',
    });
    expect(floor).toMatchObject({ validation_min: 1 });
    expect(floor).not.toHaveProperty('validation_max');
    expect((await ask('GET', `${path}/presets`)).body).toMatchObject([
      { Name: 'small', Parameters: [{ Name: 'cores', Value: '1' }], DesiredPrebuildInstances: null, Default: false },
    ]);
    expect((await ask('GET', `${path}/variables`)).body).toEqual([
      {
        name: 'greeting',
        description: 'What to say',
        type: 'string',
        value: 'hello',
        default_value: 'hello',
        required: false,
        sensitive: false,
      },
      expect.objectContaining({ name: 'token', value: '', default_value: '', sensitive: true }),
    ]);
    const resources = (await ask('GET', `${path}/resources`)).body;
    expect(resources.map(({ name }: { name: string }) => name)).toEqual(['container', 'volume']);
    const stored = await api.db
      .select({ name: workspaceResources.name, transition: workspaceResources.transition })
      .from(workspaceResources)
      .where(eq(workspaceResources.jobId, version.job.id));
    expect(stored.filter(({ transition }) => transition === 'stop').map(({ name }) => name)).toEqual(['volume']);

    const rows = await logsOf(version.id);
    expect([...new Set(rows.map(({ stage }) => stage))]).toEqual([
      'Setting up',
      'Parsing template parameters',
      'Initializing Terraform Directory',
      'Detecting persistent resources',
      'Detecting ephemeral resources',
      'Cleaning Up',
    ]);
    expect(JSON.stringify(rows)).not.toContain('t0psecret');
    const middle = rows[3]!.id;
    const after = (await ask('GET', `${path}/logs?after=${middle}`)).body;
    expect(after).toEqual(rows.filter(({ id }) => id > middle));
    const text = await ask('GET', `${path}/logs?format=text`);
    expect(text.text.split('\n').length).toBe(rows.filter(({ output }) => output !== '').length + 1);
    expect((await ask('GET', `${path}/logs?before=5&follow=true`)).status).toBe(400);
    expect((await ask('GET', `${path}/logs?after=x`)).status).toBe(400);
  });

  test('can be followed from the start: every row once, in order, then the end', async () => {
    const sockets = new WebSocketServer({ noServer: true });
    const server = serve({
      fetch: api.app.fetch,
      port: 0,
      hostname: '127.0.0.1',
      websocket: { server: sockets as unknown as WebSocketServerLike },
    });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      const { body: version } = await createVersion(api, { files: main('resource "terraform_data" "x" {}\n') });
      const url = `ws://127.0.0.1:${port}/api/v2/templateversions/${version.id}/logs?follow=true`;
      const socket = new WebSocket(url, { headers: { 'Coder-Session-Token': api.ownerToken } });
      const ids: number[] = [];
      socket.on('message', (data: Buffer) => ids.push((JSON.parse(data.toString()) as { id: number }).id));
      const [code] = (await once(socket, 'close')) as [number];
      expect(code).toBe(1000);
      expect((await ask('GET', `/templateversions/${version.id}`)).body.job.status).toBe('succeeded');
      expect(ids).toEqual((await logsOf(version.id)).map(({ id }) => id));
      expect(ids.length).toBeGreaterThan(5);

      const form = new WebSocket(`ws://127.0.0.1:${port}/api/v2/templateversions/${version.id}/dynamic-parameters`, {
        headers: { 'Coder-Session-Token': api.ownerToken },
      });
      const [first] = (await once(form, 'message')) as [Buffer];
      expect(JSON.parse(first.toString())).toEqual({ id: -1, diagnostics: [], parameters: [] });
      form.send(JSON.stringify({ id: 4, inputs: { no: 'x' } }));
      const [second] = (await once(form, 'message')) as [Buffer];
      expect(JSON.parse(second.toString())).toMatchObject({ id: 4, diagnostics: [{ severity: 'warning' }] });
      form.send('nonsense');
      expect(await once(form, 'close')).toMatchObject([1003, expect.anything()]);
    } finally {
      server.close();
    }
  });

  test('without a required variable fails before init, tells which, and a later version inherits the value', async () => {
    const files = main('variable "project" {}\nvariable "region" { default = "eu" }\n');
    const failed = await importVersion(api, files);
    expect(failed.job).toMatchObject({ status: 'failed', error_code: 'REQUIRED_TEMPLATE_VARIABLES' });
    expect(failed.job.error).toContain('project');
    expect(failed.job.error).not.toContain('region');
    expect((await logsOf(failed.id)).map(({ stage }) => stage)).not.toContain('Initializing Terraform Directory');
    expect((await ask('GET', `/templateversions/${failed.id}/variables`)).body).toMatchObject([
      { name: 'project', required: true, value: '' },
      { name: 'region', required: false },
    ]);
    const given = await importVersion(api, files, { variables: [{ name: 'project', value: 'apollo' }] });
    expect(given.job.status).toBe('succeeded');
    const template = await templateOf('inherits', given.id);
    const third = await importVersion(api, files, { templateId: template.id });
    expect(third.job.status).toBe('succeeded');
    expect((await ask('GET', `/templateversions/${third.id}/variables`)).body[0]).toMatchObject({ value: 'apollo' });
  });

  test('keeps the prebuild configuration of presets', async () => {
    const version = await importVersion(
      api,
      main(`
        data "coder_workspace_preset" "pool" {
          name = "pool"
          prebuilds {
            instances = 2
            expiration_policy { ttl = 86400 }
            scheduling {
              timezone = "UTC"
              schedule {
                cron      = "* 8-18 * * 1-5"
                instances = 5
              }
              schedule {
                cron      = "* 8-14 * * 6"
                instances = 1
              }
            }
          }
        }`),
    );
    expect(version.job.status).toBe('succeeded');
    const [preset] = await api.db
      .select({
        id: templateVersionPresets.id,
        desired: templateVersionPresets.desiredInstances,
        ttl: templateVersionPresets.invalidateAfterSecs,
        zone: templateVersionPresets.schedulingTimezone,
      })
      .from(templateVersionPresets)
      .where(eq(templateVersionPresets.templateVersionId, version.id));
    expect(preset).toMatchObject({ desired: 2, ttl: 86_400, zone: 'UTC' });
    const schedules = await api.db
      .select({ instances: templateVersionPresetPrebuildSchedules.desiredInstances })
      .from(templateVersionPresetPrebuildSchedules)
      .where(eq(templateVersionPresetPrebuildSchedules.presetId, preset!.id));
    expect(new Set(schedules.map(({ instances }) => instances))).toEqual(new Set([1, 5]));
  });

  test('with an unknown external auth provider fails but keeps what it found', async () => {
    const version = await importVersion(
      api,
      main('data "coder_external_auth" "git" { id = "no-such" }\nresource "terraform_data" "x" {}\n'),
    );
    expect(version.job.status).toBe('failed');
    expect(version.job.error).toContain('no-such');
    expect((await ask('GET', `/templateversions/${version.id}/resources`)).body).toHaveLength(1);
    expect((await ask('GET', `/templateversions/${version.id}/external-auth`)).body).toMatchObject([{ id: 'no-such' }]);
  });
});

describe('a remote module', () => {
  test('is archived once per content, and builds and dry runs need its origin no more', async () => {
    const origin = mkdtempSync(join(tmpdir(), 'berth-module-'));
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], { cwd: origin });
    mkdirSync(join(origin, 'box'));
    writeFileSync(join(origin, 'box', 'main.tf'), 'resource "terraform_data" "boxed" {}\n');
    git('init', '-q', '-b', 'main');
    git('add', '.');
    git('commit', '-q', '-m', 'box');
    const files = main(`module "box" { source = "git::file://${origin}//box" }\n`);
    const first = await importVersion(api, files);
    const second = await importVersion(api, { ...files, 'extra.tf': 'locals {}\n' });
    const local = await importVersion(api, {
      ...main('module "near" { source = "./near" }\n'),
      'near/main.tf': 'resource "terraform_data" "near" {}\n',
    });
    expect([first, second, local].map(({ job }) => job.status)).toEqual(['succeeded', 'succeeded', 'succeeded']);
    const archives = await api.db
      .select({
        id: templateVersionTerraformValues.templateVersionId,
        file: templateVersionTerraformValues.cachedModuleFiles,
      })
      .from(templateVersionTerraformValues)
      .where(inArray(templateVersionTerraformValues.templateVersionId, [first.id, second.id, local.id]));
    const fileOf = (id: string) => archives.find((row) => row.id === id)?.file;
    expect(fileOf(first.id)).not.toBeNull();
    expect(fileOf(second.id)).toBe(fileOf(first.id));
    expect(fileOf(local.id)).toBeNull();

    rmSync(origin, { recursive: true });
    const template = await templateOf('modular', first.id);
    const workspace = await createWorkspace(api, { name: 'offline', template_id: template.id });
    const build = await buildOver(api, workspace.latest_build.id);
    expect(build.job).toMatchObject({ status: 'succeeded' });
    expect(build.resources.map(({ name }: { name: string }) => name)).toEqual(['boxed']);
    const run = await ask('POST', `/templateversions/${first.id}/dry-run`, {});
    const ended = await waitForDryRun(first.id, run.body.id);
    expect(ended.status).toBe('succeeded');
  });
});

const waitForDryRun = (versionId: string, jobId: string): Promise<JsonValue> =>
  waitFor('the dry run', async () => {
    const { body } = await ask('GET', `/templateversions/${versionId}/dry-run/${jobId}`);
    return ['succeeded', 'failed', 'canceled'].includes(body.status) ? body : undefined;
  });

describe('a dry run', () => {
  test('plans with the given values and creates nothing', async () => {
    const version = await importVersion(
      api,
      main(`
        variable "label" { default = "plain" }
        data "coder_workspace" "me" {}
        data "coder_parameter" "count" {
          name    = "count"
          type    = "number"
          default = "1"
        }
        resource "terraform_data" "item" {
          count = data.coder_parameter.count.value
          input = "\${data.coder_workspace.me.name} \${var.label}"
        }
        check "label" {
          assert {
            condition     = var.label == "plain"
            error_message = "label is \${var.label}"
          }
        }`),
    );
    expect(version.job.status).toBe('succeeded');
    const before = await api.db.select({ id: workspaces.id }).from(workspaces);
    const run = await ask('POST', `/templateversions/${version.id}/dry-run`, {
      workspace_name: 'trial',
      rich_parameter_values: [{ name: 'count', value: '3' }],
      user_variable_values: [{ name: 'label', value: 'special' }],
    });
    expect([run.status, run.body.status]).toEqual([201, 'pending']);
    const ended = await waitForDryRun(version.id, run.body.id);
    expect(ended.status).toBe('succeeded');
    const path = `/templateversions/${version.id}/dry-run/${run.body.id}`;
    expect((await ask('GET', `${path}/resources`)).body).toHaveLength(3);
    expect((await ask('GET', `${path}/logs?format=text`)).text).toContain('label is special');
    expect((await ask('PATCH', `${path}/cancel`)).status).toBe(400);
    expect(await api.db.select({ id: workspaces.id }).from(workspaces)).toEqual(before);
  });
});

describe('a template that cannot be used', () => {
  /** Imports what must fail; nothing of it may be left. */
  async function failed(files: Record<string, string>): Promise<JsonValue> {
    const version = await importVersion(api, files);
    expect(version.job.status).toBe('failed');
    expect(version.job.error).not.toBe('');
    const parameters = await api.db
      .select({ name: templateVersionParameters.name })
      .from(templateVersionParameters)
      .where(eq(templateVersionParameters.templateVersionId, version.id));
    const presets = await api.db
      .select({ name: templateVersionPresets.name })
      .from(templateVersionPresets)
      .where(eq(templateVersionPresets.templateVersionId, version.id));
    expect([...parameters, ...presets]).toEqual([]);
    return version;
  }
  const preset = (label: string, body: string) => `data "coder_workspace_preset" "${label}" {\n${body}\n}\n`;

  test('for a preset name that is used twice is refused by name', async () => {
    const { job } = await failed(main(preset('a', 'name = "same"') + preset('b', 'name = "same"')));
    expect(job.error).toContain('same');
  });

  test('for two default presets is refused', async () => {
    const twice = preset('a', 'name = "one"\ndefault = true') + preset('b', 'name = "two"\ndefault = true');
    expect((await failed(main(twice))).job.error).toMatch(/default/);
  });

  test('for a preset description of 129 characters is refused, one of 128 is fine', async () => {
    const described = (length: number) => main(preset('a', `name = "one"\ndescription = "${'x'.repeat(length)}"`));
    expect((await importVersion(api, described(128))).job.status).toBe('succeeded');
    await failed(described(129));
  });

  test('for a cycle, a missing provider or an error that only Terraform sees says so in job and log', async () => {
    const cycle = await failed(
      main(
        'resource "terraform_data" "a" { input = terraform_data.b.output }\n' +
          'resource "terraform_data" "b" { input = terraform_data.a.output }\n',
      ),
    );
    expect(JSON.stringify(await logsOf(cycle.id))).toMatch(/Cycle/);
    const provider = await failed({
      'main.tf': 'terraform {\n  required_providers {\n    none = { source = "example/none" }\n  }\n}\n',
    });
    expect(JSON.stringify(await logsOf(provider.id))).toContain('example/none');
    await failed(main('resource "coder_agent" "main" { os = 3 + }\n'));
    await failed(main('resource "no_such_type" "x" {}\n'));
  });

  test('for a state of its own elsewhere is refused', async () => {
    const { job } = await failed(main('terraform {\n  backend "local" {}\n}\n'));
    expect(job.error).toContain('backend');
  });
});

describe('a loud template', () => {
  const check = (message: string) =>
    main(`
      locals { message = ${message} }
      check "loud" {
        assert {
          condition     = local.message == ""
          error_message = local.message
        }
      }`);

  test.each([
    ['5 MB in many lines', 'join("\\n", [for i in range(1024) : format("%05000d", i)])'],
    ['one line of 20 MB', 'join("", [for i in range(1024) : format("%020480d", i)])'],
  ])('that logs %s is imported; its log stops at the limit', async (_, message) => {
    const version = await importVersion(api, check(message));
    expect(version.job).toMatchObject({ status: 'succeeded' });
    const rows = await logsOf(version.id);
    const bytes = rows.reduce((sum, { output }) => sum + Buffer.byteLength(output), 0);
    expect(bytes).toBeLessThan(1_048_576 + 1024);
    expect(Math.max(...rows.map(({ output }) => output.length))).toBeLessThanOrEqual(1024);
    expect(bytes).toBeGreaterThan(1_000_000);
    expect(version.job.logs_overflowed).toBe(true);
    expect(rows.filter(({ output }) => output.includes('limit of 1 MiB'))).toHaveLength(1);
  });
});

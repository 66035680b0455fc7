import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import type { JsonValue, TestApi } from './api.ts';
import { tarOf, templateFiles } from './builders.ts';
import { waitFor } from './wait.ts';

const over = ['succeeded', 'failed', 'canceled'];

/** Uploads files as a template version and waits until its import is over. Answers the version's body. */
export async function importVersion(
  api: TestApi,
  files: Readonly<Record<string, string>>,
  options: { templateId?: string; name?: string; variables?: { name: string; value: string }[]; token?: string } = {},
): Promise<JsonValue> {
  const token = options.token ?? api.ownerToken;
  const headers = { 'Content-Type': 'application/x-tar' };
  const upload = await api.request('POST', '/api/v2/files', {
    token,
    headers,
    body: new Uint8Array(await tarOf(files)),
  });
  expect([200, 201]).toContain(upload.status);
  const created = await api.request('POST', '/api/v2/organizations/default/templateversions', {
    token,
    body: {
      storage_method: 'file',
      provisioner: 'terraform',
      file_id: upload.body.hash,
      ...(options.name !== undefined && { name: options.name }),
      ...(options.templateId !== undefined && { template_id: options.templateId }),
      user_variable_values: options.variables ?? [],
    },
  });
  expect(created.text && created.status).toBe(201);
  return waitFor('the import', async () => {
    const { body } = await api.request('GET', `/api/v2/templateversions/${created.body.id}`, { token });
    return over.includes(body.job.status) ? body : undefined;
  });
}

/** A template of the named test template, imported for real. */
export async function createTemplate(
  api: TestApi,
  name: string,
  options: {
    files?: Readonly<Record<string, string>>;
    settings?: object;
    variables?: { name: string; value: string }[];
  } = {},
): Promise<JsonValue> {
  const { files = templateFiles(name), variables = [] } = options;
  const version = await importVersion(api, files, { variables });
  expect(version.job).toMatchObject({ status: 'succeeded' });
  const created = await api.request('POST', '/api/v2/organizations/default/templates', {
    token: api.ownerToken,
    body: { name, template_version_id: version.id, ...options.settings },
  });
  expect(created.text && created.status).toBe(201);
  return created.body;
}

export async function createWorkspace(
  api: TestApi,
  body: { name: string; template_id: string; [field: string]: unknown },
  token = api.ownerToken,
): Promise<JsonValue> {
  const created = await api.request('POST', '/api/v2/users/me/workspaces', { token, body });
  expect(created.text && created.status).toBe(201);
  return created.body;
}

/** Waits until the build's job is over and answers the build. */
export async function buildOver(api: TestApi, buildId: string, token = api.ownerToken): Promise<JsonValue> {
  return waitFor(`build ${buildId}`, async () => {
    const { body } = await api.request('GET', `/api/v2/workspacebuilds/${buildId}`, { token });
    return over.includes(body.job.status) ? body : undefined;
  });
}

/** Requests a transition and waits for its end. */
export async function build(
  api: TestApi,
  workspaceId: string,
  body: { transition: 'start' | 'stop' | 'delete'; [field: string]: unknown },
  token = api.ownerToken,
): Promise<JsonValue> {
  const created = await api.request('POST', `/api/v2/workspaces/${workspaceId}/builds`, { token, body });
  expect(created.text && created.status).toBe(201);
  return buildOver(api, created.body.id, token);
}

/** Waits until the job of a build has begun. */
export async function buildRunning(api: TestApi, buildId: string): Promise<void> {
  await waitFor(`build ${buildId} to run`, async () => {
    const { body } = await api.request('GET', `/api/v2/workspacebuilds/${buildId}`, { token: api.ownerToken });
    return body.job.status !== 'pending';
  });
  await delay(50);
}

import { eq, sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { provisionerJobs } from '../../db/schema/provisioner-jobs.ts';
import {
  templateVersionParameters,
  templateVersionPresetParameters,
  templateVersionPresets,
  templateVersionVariables,
  templateVersions,
} from '../../db/schema/templates.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';
import { createTemplate, createVersion, finishImport, insertWorkspaceOf, uploadTar } from '../support/template-rows.ts';

let api: TestApi;
let member: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser();
});
afterAll(() => api.close());

const ask = (method: string, path: string, body?: unknown, token = api.ownerToken) =>
  api.request(method, `/api/v2${path}`, { token, ...(body !== undefined && { body }) });
const fieldsOf = (answer: { body: { validations?: { field: string }[] } }) =>
  (answer.body.validations ?? []).map(({ field }) => field);
const namesOf = (answer: { body: { name: string }[] }) => answer.body.map(({ name }) => name);
const nobody = '5f1d7a52-8c55-4e8b-9f0a-3f7f3f3f3f3f';

/** A further imported version of a template, later than those before. */
async function addVersion(template: { id: string }, body: Record<string, unknown> = {}): Promise<string> {
  api.clock.now = new Date(api.clock.now.getTime() + 1000);
  const created = await createVersion(api, { body: { template_id: template.id, ...body } });
  await finishImport(api.db, created.body.id);
  return created.body.id;
}

describe('creating a version', () => {
  test('answers a pending job, starts its workflow once and writes it down', async () => {
    const { status, body } = await createVersion(api, { body: { name: 'v1.0', message: 'first' } });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      name: 'v1.0',
      message: 'first',
      archived: false,
      readme: '',
      has_external_agent: false,
      created_by: { id: api.owner.id, username: 'owner' },
      matched_provisioners: { count: 0, available: 0 },
      job: {
        status: 'pending',
        type: 'template_version_import',
        queue_position: 1,
        queue_size: 1,
        tags: { scope: 'organization', owner: '' },
        input: { template_version_id: body.id },
        metadata: { template_version_name: 'v1.0', template_name: '' },
      },
    });
    expect(body).not.toHaveProperty('template_id');
    expect(body.job).not.toHaveProperty('started_at');
    expect(api.temporal.starts.map(({ workflowId }) => workflowId)).toContain(`import/${body.id}`);
    const audit = await api.db
      .select({ action: auditLogs.action })
      .from(auditLogs)
      .where(eq(auditLogs.resourceId, body.id));
    expect(audit).toEqual([{ action: 'create' }]);
    await ask('PATCH', `/templateversions/${body.id}/cancel`);
  });

  test('answers 201 while Temporal is down: the row waits for the sweep', async () => {
    api.temporal.reachable = false;
    try {
      const { status, body } = await createVersion(api);
      expect([status, body.job.status]).toEqual([201, 'pending']);
      const [job] = await api.db
        .select({ startedAt: provisionerJobs.workflowStartedAt })
        .from(provisionerJobs)
        .where(eq(provisionerJobs.id, body.job.id));
      expect(job?.startedAt).toBeNull();
    } finally {
      api.temporal.reachable = true;
    }
  });

  test('makes a name of two words and a digit when none is given', async () => {
    const { body } = await createVersion(api);
    expect(body.name).toMatch(/^[a-z]+_[a-z]+\d$/);
  });

  test('refuses a name that the template has, and bad names', async () => {
    const template = await createTemplate(api);
    await addVersion(template, { name: 'same' });
    const again = await createVersion(api, { body: { template_id: template.id, name: 'same' } });
    expect([again.status, ...fieldsOf(again)]).toEqual([409, 'name']);
    const bad = await createVersion(api, { body: { name: 'a b' } });
    expect([bad.status, ...fieldsOf(bad)]).toEqual([400, 'name']);
    expect((await createVersion(api, { body: { name: 'same' } })).status).toBe(201);
  });

  test('needs a file or an example, of which the caller may have the file', async () => {
    const attempt = async (body: Record<string, unknown>, token?: string) => {
      const answer = await ask(
        'POST',
        '/organizations/default/templateversions',
        { storage_method: 'file', provisioner: 'terraform', ...body },
        token,
      );
      return [answer.status, ...fieldsOf(answer)];
    };
    const file = await uploadTar(api, api.ownerToken, { 'main.tf': '# mine\n' });
    expect(await attempt({})).toEqual([400, 'file_id']);
    expect(await attempt({ file_id: file, example_id: 'docker' })).toEqual([400, 'example_id']);
    expect(await attempt({ example_id: 'no-such-example' })).toEqual([400, 'example_id']);
    expect(await attempt({ example_id: '../../etc' })).toEqual([400, 'example_id']);
    expect(await attempt({ file_id: nobody })).toEqual([404]);
    expect(await attempt({ file_id: file, template_id: nobody })).toEqual([404]);
    expect(await attempt({ file_id: file, storage_method: 'git' })).toEqual([400, 'storage_method']);
    expect(await attempt({ file_id: file, provisioner: 'echo' })).toEqual([400, 'provisioner']);
    const author = await api.createUser({ organizationRoles: ['organization-template-admin'] });
    expect(await attempt({ file_id: file }, author.token)).toEqual([404]);
    expect(await attempt({ file_id: file }, member.token)).toEqual([403]);
    const variable = { name: 'twice', value: '1' };
    expect(await attempt({ file_id: file, user_variable_values: [variable, variable] })).toEqual([
      400,
      'user_variable_values',
    ]);
    expect(await attempt({ file_id: file, tags: { a: 'x\0' } })).toEqual([400, 'tags.a']);
  });

  test('takes the nil uuid and an empty text of clients without absent fields for absent', async () => {
    const nil = '00000000-0000-0000-0000-000000000000';
    const { status } = await createVersion(api, { body: { template_id: nil, example_id: '' } });
    expect(status).toBe(201);
  });

  test('refuses configuration that nobody can read, naming the file, before any job exists', async () => {
    const answer = await createVersion(api, {
      files: { 'main.tf': 'resource "a" "b" {\n', 'other.tf.json': '{', 'good.tf': 'locals {}\n' },
    });
    expect([answer.status, ...fieldsOf(answer)]).toEqual([400, 'main.tf', 'other.tf.json']);
    expect(answer.body.detail).toContain('main.tf');
  });

  test('tags its job by what the source says, overlaid by the request; the owner of a user-scoped job is the caller', async () => {
    const files = {
      'main.tf': `
        variable "region" { default = "eu" }
        data "coder_parameter" "size" {
          name    = "size"
          default = "small"
        }
        data "coder_workspace_tags" "tags" {
          tags = {
            "cluster" = "dev", plain = 3
            region    = var.region
            size      = data.coder_parameter.size.value
            both      = "\${var.region}-\${data.coder_parameter.size.value}"
            computed  = upper(var.region)
          }
        }`,
    };
    const { body } = await createVersion(api, {
      files,
      body: { tags: { cluster: 'prod', scope: 'user' }, user_variable_values: [{ name: 'region', value: 'us' }] },
    });
    expect(body.job.tags).toEqual({
      scope: 'user',
      owner: api.owner.id,
      cluster: 'prod',
      plain: '3',
      region: 'us',
      size: 'small',
      both: 'us-small',
    });
  });

  test('keeps values of variables encrypted and out of the job', async () => {
    const secret = 'squeamish-ossifrage';
    const { body } = await createVersion(api, {
      body: { user_variable_values: [{ name: 'token', value: secret }] },
    });
    const [job] = await api.db
      .select({ input: provisionerJobs.input })
      .from(provisionerJobs)
      .where(eq(provisionerJobs.id, body.job.id));
    const [row] = await api.db
      .select({ value: templateVersionVariables.value })
      .from(templateVersionVariables)
      .where(eq(templateVersionVariables.templateVersionId, body.id));
    expect(JSON.stringify(job)).not.toContain(secret);
    expect(Buffer.from(row!.value, 'base64').toString()).not.toContain(secret);
    expect(api.logs.join('')).not.toContain(secret);
  });
});

describe('reading versions', () => {
  test('of a template come oldest first and page strictly after a row; archived ones only on request', async () => {
    const template = await createTemplate(api);
    const first = (await ask('GET', `/templates/${template.id}/versions`)).body[0];
    const ids = [first.id];
    for (const name of ['b', 'c', 'd']) ids.push(await addVersion(template, { name }));
    await ask('POST', `/templateversions/${ids[2]}/archive`);
    const list = async (query: string) => {
      const answer = await ask('GET', `/templates/${template.id}/versions${query}`);
      return answer.status === 200 ? namesOf(answer) : [String(answer.status), ...fieldsOf(answer)];
    };
    expect(await list('')).toEqual([first.name, 'b', 'd']);
    expect(await list('?include_archived=true')).toEqual([first.name, 'b', 'c', 'd']);
    expect(await list(`?after_id=${ids[1]}`)).toEqual(['d']);
    expect(await list(`?after_id=${ids[2]}&include_archived=1`)).toEqual(['d']);
    expect(await list(`?after_id=${ids[3]}`)).toEqual([]);
    expect(await list('?limit=1&offset=1')).toEqual(['b']);
    expect(await list('?limit=0')).toHaveLength(3);
    expect(await list(`?after_id=${nobody}`)).toEqual(['400', 'after_id']);
    expect(await list(`?after_id=${ids[0]}&offset=1`)).toEqual(['400', 'after_id']);
    expect(await list('?limit=-1')).toEqual(['400', 'limit']);
  });

  test('goes by id and by names, and knows the version before', async () => {
    const template = await createTemplate(api);
    const second = await addVersion(template, { name: 'second' });
    const third = await addVersion(template, { name: 'third' });
    const path = `/organizations/default/templates/${template.name}/versions`;
    expect((await ask('GET', `/templateversions/${second}`)).body.name).toBe('second');
    expect((await ask('GET', `/templates/${template.id}/versions/third`)).body.id).toBe(third);
    expect((await ask('GET', `${path}/second`)).body.id).toBe(second);
    expect((await ask('GET', `${path}/third/previous`)).body.id).toBe(second);
    expect((await ask('GET', `${path}/second/previous`)).body.id).toBe(template.active_version_id);
    const first = (await ask('GET', `/templateversions/${template.active_version_id}`)).body.name;
    expect((await ask('GET', `${path}/${first}/previous`)).status).toBe(404);
    expect((await ask('GET', `${path}/nothing`)).status).toBe(404);
    expect((await ask('GET', `/templates/${template.id}/versions/nothing`)).status).toBe(404);
    expect((await ask('GET', `/templateversions/${nobody}`)).status).toBe(404);
    expect((await ask('GET', '/templateversions/x')).status).toBe(400);
  });

  test('shows members what they may use and hides what has no template, and foreign templates', async () => {
    const loose = (await createVersion(api)).body.id;
    const open = await createTemplate(api);
    const closed = await createTemplate(api, { disable_everyone_group_access: true });
    const status = async (id: string, path = '') =>
      (await ask('GET', `/templateversions/${id}${path}`, undefined, member.token)).status;
    expect(await status(loose)).toBe(404);
    expect(await status(open.active_version_id)).toBe(200);
    expect(await status(closed.active_version_id)).toBe(404);
    for (const path of ['/rich-parameters', '/presets', '/resources', '/logs', '/external-auth'])
      expect(await status(open.active_version_id, path)).toBe(200);
    expect(await status(open.active_version_id, '/variables')).toBe(403);
    expect(await status(closed.active_version_id, '/variables')).toBe(404);
    const template = await ask('GET', `/templates/${closed.id}/versions`, undefined, member.token);
    expect(template.status).toBe(404);
  });
});

describe('the parts of a version', () => {
  test('are refused with 409 while the import runs and with 400 (parameters) when it failed', async () => {
    const { id } = (await createVersion(api)).body;
    const statuses = async () =>
      Promise.all(
        ['rich-parameters', 'variables', 'resources', 'presets'].map(
          async (part) => (await ask('GET', `/templateversions/${id}/${part}`)).status,
        ),
      );
    expect(await statuses()).toEqual([409, 409, 409, 200]);
    await finishImport(api.db, id, { error: 'broken' });
    expect(await statuses()).toEqual([400, 200, 200, 200]);
    const dryRun = await ask('POST', `/templateversions/${id}/dry-run`, { workspace_name: 'x' });
    expect(dryRun.status).toBe(400);
  });

  test('have the wire forms that clients know', async () => {
    const template = await createTemplate(api);
    const templateVersionId = template.active_version_id;
    await api.db.insert(templateVersionParameters).values([
      {
        templateVersionId,
        name: 'size',
        description: 'The **size**, see [docs](http://x)',
        type: 'number',
        formType: 'input',
        mutable: true,
        defaultValue: '2',
        required: false,
        validationMin: 1,
        validationMonotonic: 'increasing',
        displayOrder: 2,
      },
      {
        templateVersionId,
        name: 'region',
        displayName: 'Region',
        type: 'string',
        formType: 'radio',
        mutable: false,
        options: [{ name: 'EU', description: '', value: 'eu', icon: '' }],
        displayOrder: 1,
      },
    ]);
    await api.db.insert(templateVersionVariables).values([
      {
        templateVersionId,
        name: 'a',
        type: 'string',
        value: 'shown',
        defaultValue: 'd',
        required: false,
        sensitive: false,
      },
      {
        templateVersionId,
        name: 'b',
        type: 'list(string)',
        value: 'secret',
        defaultValue: '',
        required: true,
        sensitive: true,
      },
    ]);
    const presets = await api.db
      .insert(templateVersionPresets)
      .values([
        { templateVersionId, name: 'alpha', createdAt: new Date(), description: 'none' },
        { templateVersionId, name: 'zeta', createdAt: new Date(), isDefault: true, desiredInstances: 2, icon: '/i' },
      ])
      .returning({ id: templateVersionPresets.id, name: templateVersionPresets.name });
    const zeta = presets.find(({ name }) => name === 'zeta')!.id;
    await api.db
      .insert(templateVersionPresetParameters)
      .values({ templateVersionPresetId: zeta, name: 'size', value: '4' });
    await api.db
      .update(templateVersions)
      .set({ externalAuthProviders: [{ id: 'github', optional: true }] })
      .where(eq(templateVersions.id, templateVersionId));

    const part = async (name: string) => (await ask('GET', `/templateversions/${templateVersionId}/${name}`)).body;
    expect(await part('rich-parameters')).toEqual([
      {
        name: 'region',
        display_name: 'Region',
        description: '',
        description_plaintext: '',
        type: 'string',
        form_type: 'radio',
        mutable: false,
        default_value: '',
        icon: '',
        options: [{ name: 'EU', description: '', value: 'eu', icon: '' }],
        required: true,
        ephemeral: false,
      },
      {
        name: 'size',
        description: 'The **size**, see [docs](http://x)',
        description_plaintext: 'The size, see docs',
        type: 'number',
        form_type: 'input',
        mutable: true,
        default_value: '2',
        icon: '',
        options: [],
        validation_min: 1,
        validation_monotonic: 'increasing',
        required: false,
        ephemeral: false,
      },
    ]);
    expect(await part('variables')).toEqual([
      {
        name: 'a',
        description: '',
        type: 'string',
        value: 'shown',
        default_value: 'd',
        required: false,
        sensitive: false,
      },
      { name: 'b', description: '', type: 'string', value: '', default_value: '', required: true, sensitive: true },
    ]);
    expect(await part('presets')).toEqual([
      {
        ID: zeta,
        Name: 'zeta',
        Parameters: [{ Name: 'size', Value: '4' }],
        Default: true,
        DesiredPrebuildInstances: 2,
        Description: '',
        Icon: '/i',
      },
      {
        ID: presets.find(({ name }) => name === 'alpha')!.id,
        Name: 'alpha',
        Parameters: [],
        Default: false,
        DesiredPrebuildInstances: null,
        Description: 'none',
        Icon: '',
      },
    ]);
    expect(await part('external-auth')).toMatchObject([{ id: 'github', optional: true, authenticated: false }]);

    const evaluated = await ask(
      'POST',
      `/templateversions/${templateVersionId}/dynamic-parameters/evaluate`,
      { id: 7, inputs: { size: '0', other: 'x' } },
      member.token,
    );
    expect(evaluated.status).toBe(200);
    expect(evaluated.body.id).toBe(7);
    expect(evaluated.body.diagnostics).toMatchObject([{ severity: 'warning', extra: { code: 'unknown_parameter' } }]);
    expect(evaluated.body.parameters).toMatchObject([
      { name: 'region', value: { value: '', valid: false }, diagnostics: [{ extra: { code: 'required' } }] },
      { name: 'size', value: { value: '0', valid: false }, diagnostics: [{ extra: { code: 'invalid_value' } }] },
    ]);
  });
});

describe('promotion', () => {
  const promote = (template: { id: string }, id: string, token?: string) =>
    ask('PATCH', `/templates/${template.id}/versions`, { id }, token);

  test('moves the active version, is written down once, and again does nothing', async () => {
    const template = await createTemplate(api);
    const next = await addVersion(template);
    expect((await promote(template, next)).status).toBe(200);
    expect((await ask('GET', `/templates/${template.id}`)).body.active_version_id).toBe(next);
    expect((await promote(template, next)).status).toBe(200);
    const audit = await api.db
      .select({ diff: auditLogs.diff })
      .from(auditLogs)
      .where(eq(auditLogs.resourceId, template.id));
    expect(audit.filter(({ diff }) => 'active_version_id' in diff && !('name' in diff))).toHaveLength(1);
  });

  test('tells the watchers of the workspaces', async () => {
    const template = await createTemplate(api);
    const workspaceId = await insertWorkspaceOf(api.db, template, { ownerId: member.id });
    const stop = new AbortController();
    const wakeUps = api.deps.listener
      .wakeUps('berth_workspaces', workspaceId, { signal: stop.signal, recheckMs: 60_000 })
      [Symbol.asyncIterator]();
    await wakeUps.next();
    const woken = wakeUps.next();
    await promote(template, await addVersion(template));
    expect((await woken).done).toBe(false);
    stop.abort();
  });

  test('refuses versions of other templates (404), archived and not imported ones (400)', async () => {
    const template = await createTemplate(api);
    const other = await createTemplate(api);
    const archived = await addVersion(template);
    await ask('POST', `/templateversions/${archived}/archive`);
    const pending = (await createVersion(api, { body: { template_id: template.id } })).body.id;
    expect((await promote(template, other.active_version_id)).status).toBe(404);
    expect((await promote(template, nobody)).status).toBe(404);
    expect((await promote(template, archived)).status).toBe(400);
    const refused = await promote(template, pending);
    expect([refused.status, refused.body.message]).toEqual([400, expect.stringContaining('pending')]);
    expect((await promote(template, archived, member.token)).status).toBe(403);
  });
});

describe('the archive', () => {
  const act = async (id: string, verb: 'archive' | 'unarchive', token?: string) =>
    (await ask('POST', `/templateversions/${id}/${verb}`, undefined, token)).status;

  test('takes neither the active version nor an unfinished one, nor one twice', async () => {
    const template = await createTemplate(api);
    const version = await addVersion(template);
    const pending = (await createVersion(api, { body: { template_id: template.id } })).body.id;
    expect(await act(template.active_version_id, 'archive')).toBe(400);
    expect(await act(pending, 'archive')).toBe(400);
    expect(await act(version, 'unarchive')).toBe(400);
    expect(await act(version, 'archive', member.token)).toBe(403);
    expect(await act(version, 'archive')).toBe(200);
    expect(await act(version, 'archive')).toBe(400);
    expect((await ask('GET', `/templateversions/${version}`)).body.archived).toBe(true);
    expect(await act(version, 'unarchive')).toBe(200);
  });

  test('takes failed versions, or all that nothing uses, at once', async () => {
    const template = await createTemplate(api);
    const unused = await addVersion(template);
    const used = await addVersion(template);
    await insertWorkspaceOf(api.db, template, { ownerId: member.id, versionId: used });
    const failed = (await createVersion(api, { body: { template_id: template.id } })).body.id;
    await finishImport(api.db, failed, { error: 'no' });
    await createVersion(api, { body: { template_id: template.id } });
    const path = `/templates/${template.id}/versions/archive`;
    expect((await ask('POST', path, { all: false })).body).toEqual({
      template_id: template.id,
      archived_ids: [failed],
    });
    expect((await ask('POST', path, { all: true })).body.archived_ids).toEqual([unused]);
    expect((await ask('POST', path, { all: true })).body.archived_ids).toEqual([]);
  });
});

describe('changing a version', () => {
  test('leaves out what is not given, and refuses a taken name', async () => {
    const template = await createTemplate(api);
    const id = await addVersion(template, { name: 'mine', message: 'note' });
    await addVersion(template, { name: 'other' });
    const patch = (body: unknown, token?: string) => ask('PATCH', `/templateversions/${id}`, body, token);
    expect((await patch({ message: null, name: 'renamed' })).body).toMatchObject({ name: 'renamed', message: 'note' });
    expect((await patch({ message: '' })).body).toMatchObject({ name: 'renamed', message: '' });
    const taken = await patch({ name: 'other' });
    expect([taken.status, ...fieldsOf(taken)]).toEqual([409, 'name']);
    const bad = await patch({ name: 'a b' });
    expect([bad.status, ...fieldsOf(bad)]).toEqual([400, 'name']);
    expect((await patch({ name: 'x' }, member.token)).status).toBe(403);
  });
});

describe('canceling an import', () => {
  const cancel = (id: string, token?: string) => ask('PATCH', `/templateversions/${id}/cancel`, undefined, token);

  test('that is pending ends it at once; again is refused', async () => {
    const { id } = (await createVersion(api)).body;
    expect((await cancel(id)).status).toBe(200);
    const { job } = (await ask('GET', `/templateversions/${id}`)).body;
    expect(job.status).toBe('canceled');
    expect(job).not.toHaveProperty('started_at');
    expect(job.completed_at).toBe(job.canceled_at);
    expect((await cancel(id)).status).toBe(400);
    expect(api.temporal.canceled).toContain(`import/${id}`);
  });

  test('that runs marks it as canceling; a finished one is left alone', async () => {
    const { id, job } = (await createVersion(api)).body;
    await api.db
      .update(provisionerJobs)
      .set({ startedAt: sql`now()` })
      .where(eq(provisionerJobs.id, job.id));
    expect((await cancel(id)).status).toBe(200);
    expect((await ask('GET', `/templateversions/${id}`)).body.job.status).toBe('canceling');
    await finishImport(api.db, id, { canceled: true });
    expect((await cancel(id)).status).toBe(400);
    const done = await createTemplate(api);
    expect((await cancel(done.active_version_id)).status).toBe(400);
    expect((await cancel(done.active_version_id, member.token)).status).toBe(403);
    expect((await cancel(nobody)).status).toBe(404);
  });
});

describe('a dry run', () => {
  const start = (versionId: string, body: unknown, token?: string) =>
    ask('POST', `/templateversions/${versionId}/dry-run`, body, token);

  test('is a pending job that its initiator and template admins see, under its own version only', async () => {
    const template = await createTemplate(api);
    const other = await createTemplate(api);
    const versionId = template.active_version_id;
    const { status, body } = await start(versionId, { workspace_name: 'try' }, member.token);
    expect([status, body.status, body.type, body.initiator_id]).toEqual([
      201,
      'pending',
      'template_version_dry_run',
      member.id,
    ]);
    expect(api.temporal.starts.map(({ workflowId }) => workflowId)).toContain(`dryrun/${body.id}`);
    const at = (version: string, part = '') => `/templateversions/${version}/dry-run/${body.id}${part}`;
    const stranger = await api.createUser();
    expect((await ask('GET', at(versionId), undefined, member.token)).body.id).toBe(body.id);
    expect((await ask('GET', at(versionId))).status).toBe(200);
    expect((await ask('GET', at(versionId), undefined, stranger.token)).status).toBe(404);
    for (const part of ['', '/resources', '/logs', '/matched-provisioners'])
      expect((await ask('GET', at(other.active_version_id, part), undefined, member.token)).status).toBe(404);
    expect((await ask('PATCH', at(other.active_version_id, '/cancel'), undefined, member.token)).status).toBe(404);
    expect((await ask('GET', at(versionId, '/resources'), undefined, member.token)).status).toBe(409);
    expect((await ask('GET', at(versionId, '/matched-provisioners'), undefined, member.token)).body).toEqual({
      count: 0,
      available: 0,
    });
    expect((await ask('GET', at(versionId, '/logs'), undefined, member.token)).body).toEqual([]);
    expect((await ask('PATCH', at(versionId, '/cancel'), undefined, member.token)).status).toBe(200);
    expect((await ask('GET', at(versionId), undefined, member.token)).body.status).toBe('canceled');
  });

  test('judges its values before anything is written and keeps variables encrypted', async () => {
    const template = await createTemplate(api);
    const versionId = template.active_version_id;
    await api.db.insert(templateVersionParameters).values({
      templateVersionId: versionId,
      name: 'size',
      type: 'number',
      mutable: true,
      validationMax: 8,
    });
    await api.db.insert(templateVersionVariables).values({
      templateVersionId: versionId,
      name: 'token',
      type: 'string',
      value: '',
      required: true,
      sensitive: true,
    });
    const fields = async (body: Record<string, unknown>) => {
      const answer = await start(versionId, body);
      return [answer.status, ...fieldsOf(answer)];
    };
    const size = { name: 'size', value: '4' };
    expect(await fields({})).toEqual([400, 'size']);
    expect(await fields({ rich_parameter_values: [{ name: 'size', value: '9' }] })).toEqual([400, 'size']);
    expect(await fields({ rich_parameter_values: [size, size] })).toEqual([400, 'size']);
    expect(await fields({ rich_parameter_values: [size, { name: 'x', value: '' }] })).toEqual([400, 'x']);
    expect(await fields({ rich_parameter_values: [size], workspace_name: 'a b' })).toEqual([400, 'workspace_name']);
    expect(await fields({ rich_parameter_values: [size], user_variable_values: [{ name: 'no', value: '1' }] })).toEqual(
      [400, 'no'],
    );
    const { body, text } = await start(versionId, {
      rich_parameter_values: [size],
      user_variable_values: [{ name: 'token', value: 'squeamish' }],
    });
    const [job] = await api.db
      .select({ input: provisionerJobs.input })
      .from(provisionerJobs)
      .where(eq(provisionerJobs.id, body.id));
    expect(job?.input.sealed_variables?.map(({ name }) => name)).toEqual(['token']);
    expect(JSON.stringify(job) + text).not.toContain('squeamish');
  });

  test('waits for the import (409) and is for who may use the template', async () => {
    const { id } = (await createVersion(api)).body;
    expect((await start(id, {})).status).toBe(409);
    const closed = await createTemplate(api, { disable_everyone_group_access: true });
    expect((await start(closed.active_version_id, {}, member.token)).status).toBe(404);
  });
});

describe('the ACL of a template', () => {
  const patch = (template: { id: string }, body: unknown, token?: string) =>
    ask('PATCH', `/templates/${template.id}/acl`, body, token);
  const read = async (template: { id: string }) => (await ask('GET', `/templates/${template.id}/acl`)).body;

  test('gives and takes roles, and decides from the next request on', async () => {
    const template = await createTemplate(api, { disable_everyone_group_access: true });
    const guest = await api.createUser();
    const status = async () => (await ask('GET', `/templates/${template.id}`, undefined, guest.token)).status;
    expect(await status()).toBe(404);
    expect((await patch(template, { user_perms: { [guest.id]: 'use' } })).status).toBe(200);
    expect(await status()).toBe(200);
    expect((await patch(template, { user_perms: {} }, guest.token)).status).toBe(403);
    await patch(template, { user_perms: { [guest.id]: 'admin' }, group_perms: { [api.organizationId]: 'use' } });
    const acl = await read(template);
    expect(acl.users).toMatchObject([{ id: guest.id, username: guest.username, role: 'admin' }]);
    expect(acl.group).toMatchObject([{ id: api.organizationId, name: 'Everyone', role: 'use' }]);
    expect((await ask('GET', `/templates/${template.id}/acl/available`, undefined, guest.token)).status).toBe(200);
    await patch(template, { user_perms: { [guest.id]: '' }, group_perms: { [api.organizationId]: '' } });
    expect(await read(template)).toEqual({ users: [], group: [] });
    expect(await status()).toBe(404);
  });

  test('is changed as a whole or not at all, naming every unknown id and role', async () => {
    const template = await createTemplate(api);
    const outsider = await api.createUser({ organizationIds: [] });
    const answer = await patch(template, {
      user_perms: {
        [member.id]: 'use',
        [outsider.id]: 'use',
        [nobody]: '',
        x: 'use',
        [api.owner.id]: 'boss',
        'c42fdf75-3097-471c-8c33-fb52454d81c0': 'use',
      },
      group_perms: { [nobody]: 'use' },
    });
    expect(answer.status).toBe(400);
    expect(fieldsOf(answer).toSorted()).toEqual(
      [
        `user_perms.${outsider.id}`,
        `user_perms.${nobody}`,
        'user_perms.x',
        `user_perms.${api.owner.id}`,
        'user_perms.c42fdf75-3097-471c-8c33-fb52454d81c0',
        `group_perms.${nobody}`,
      ].toSorted(),
    );
    expect((await read(template)).users).toEqual([]);
  });
});

import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ZipFile } from 'yazl';
import { buffer } from 'node:stream/consumers';
import { files } from '../../db/schema/files.ts';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';
import { tarOf } from '../support/builders.ts';
import { createTemplate, createVersion, uploadTar } from '../support/template-rows.ts';

let api: TestApi;
let author: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  author = await api.createUser({ organizationRoles: ['organization-template-admin'] });
});
afterAll(() => api.close());

const post = (token: string, body: Buffer, type = 'application/x-tar') =>
  api.request('POST', '/api/v2/files', { token, body, headers: { 'Content-Type': type } });
const get = (token: string, id: string, query = '', headers: Record<string, string> = {}) =>
  api.app.request(`/api/v2/files/${id}${query}`, { headers: { 'Coder-Session-Token': token, ...headers } });

async function zipOf(entries: Record<string, string>): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [name, text] of Object.entries(entries)) zip.addBuffer(Buffer.from(text), name);
  zip.end();
  return buffer(zip.outputStream);
}

describe('upload', () => {
  test('stores the same bytes of one user once and of two users twice', async () => {
    const tar = await tarOf({ 'main.tf': '# once\n' });
    const first = await post(author.token, tar);
    const again = await post(author.token, tar);
    expect([first.status, again.status]).toEqual([201, 200]);
    expect(again.body.hash).toBe(first.body.hash);
    const other = await post(api.ownerToken, tar);
    expect(other.status).toBe(201);
    expect(other.body.hash).not.toBe(first.body.hash);
    const rows = await api.db.select({ hash: files.hash }).from(files).where(eq(files.id, first.body.hash));
    expect(rows[0]?.hash).toMatch(/^[0-9a-f]{64}$/);
  });

  test('twenty concurrent uploads of the same bytes are one file', async () => {
    const tar = await tarOf({ 'main.tf': '# raced\n' });
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(author.token, tar)));
    expect(new Set(answers.map(({ body }) => body.hash)).size).toBe(1);
    expect(answers.map(({ status }) => status).filter((status) => status === 201)).toHaveLength(1);
  });

  test('converts a zip to a tar', async () => {
    const zip = await zipOf({ 'main.tf': '# zipped\n', 'scripts/run.sh': 'echo\n' });
    for (const type of ['application/zip', 'application/x-zip-compressed']) {
      const stored = await post(author.token, zip, type);
      expect([200, 201]).toContain(stored.status);
      const answer = await get(author.token, stored.body.hash);
      expect(answer.headers.get('content-type')).toBe('application/x-tar');
      expect(Buffer.from(await answer.arrayBuffer()).toString()).toContain('# zipped');
    }
  });

  test('refuses what is no template archive with 400', async () => {
    const escape = Buffer.from(await tarOf({ '../out.tf': '' }));
    expect((await post(author.token, await tarOf({ 'a.tf': '' }), 'text/plain')).status).toBe(400);
    expect((await post(author.token, Buffer.from('nothing'), 'application/zip')).status).toBe(400);
    expect((await post(author.token, Buffer.alloc(10))).status).toBe(400);
    expect((await post(author.token, Buffer.alloc(0))).status).toBe(400);
    expect((await post(author.token, escape)).status).toBe(400);
  });

  test('refuses a body of more than 100 MiB with 413', async () => {
    const answer = await post(author.token, Buffer.alloc(104_857_601));
    expect(answer.status).toBe(413);
  });
});

describe('download', () => {
  test('gives the bytes, and 304 to who has them', async () => {
    const tar = await tarOf({ 'main.tf': '# same\n' });
    const id = (await post(author.token, tar)).body.hash;
    const first = await get(author.token, id);
    expect(first.status).toBe(200);
    expect(Buffer.from(await first.arrayBuffer()).equals(tar)).toBe(true);
    const etag = first.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[0-9a-f]{64}"$/);
    const again = await get(author.token, id, '', { 'If-None-Match': etag });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });

  test('gives a zip on request and refuses other formats', async () => {
    const id = await uploadTar(api, author.token, { 'main.tf': '# as zip\n' });
    const zip = await get(author.token, id, '?format=zip');
    expect(zip.headers.get('content-type')).toBe('application/zip');
    expect(
      Buffer.from(await zip.arrayBuffer())
        .subarray(0, 2)
        .toString(),
    ).toBe('PK');
    expect((await get(author.token, id, '?format=rar')).status).toBe(400);
  });

  test('is for the uploader, site template admins and who administers a template that uses it', async () => {
    const { body: version } = await createVersion(api);
    const fileId = version.job.file_id;
    const member = await api.createUser();
    const siteAdmin = await api.createUser({ roles: ['template-admin'] });
    const unused = await uploadTar(api, api.ownerToken, { 'main.tf': '# not in a version\n' });
    expect((await get(member.token, fileId)).status).toBe(404);
    expect((await get(siteAdmin.token, fileId)).status).toBe(200);
    expect((await get(author.token, fileId)).status).toBe(200);
    expect((await get(author.token, unused)).status).toBe(404);
    expect((await get(member.token, '5f1d7a52-8c55-4e8b-9f0a-3f7f3f3f3f3f')).status).toBe(404);
    expect((await get(member.token, 'nonsense')).status).toBe(400);
  });

  test('of a template is open to who was made its admin by the ACL, and to nobody else with `use`', async () => {
    const template = await createTemplate(api);
    const [admin, user] = [await api.createUser(), await api.createUser()];
    const version = await api.request('GET', `/api/v2/templateversions/${template.active_version_id}`, {
      token: api.ownerToken,
    });
    await api.request('PATCH', `/api/v2/templates/${template.id}/acl`, {
      token: api.ownerToken,
      body: { user_perms: { [admin.id]: 'admin', [user.id]: 'use' } },
    });
    expect((await get(admin.token, version.body.job.file_id)).status).toBe(200);
    expect((await get(user.token, version.body.job.file_id)).status).toBe(404);
  });
});

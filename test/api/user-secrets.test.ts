import { and, eq, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createColumnCipher } from '../../db/encryption.ts';
import { listInjectedSecrets, sealSecret, updateSecret } from '../../db/queries/user-secrets.ts';
import { auditLogs } from '../../db/schema/audit-logs.ts';
import { userSecrets } from '../../db/schema/user-secrets.ts';
import { type Answer, type TestApi, type TestUser, createTestApi } from '../support/api.ts';

let api: TestApi;
let user: TestUser;
/** Every answer of this file, to be searched for values. */
const answers: string[] = [];
const canary = `canary-${randomUUID()}`;

beforeAll(async () => {
  api = await createTestApi();
});
afterAll(() => api.close());
beforeEach(async () => {
  user = await api.createUser();
});

async function call(method: string, path: string, body?: unknown, token = user.token, who = 'me'): Promise<Answer> {
  const answer = await api.request(method, `/api/v2/users/${who}/secrets${path}`, {
    token,
    ...(body !== undefined && { body }),
  });
  answers.push(answer.text);
  return answer;
}
const create = (secret: object) => call('POST', '', { value: 'v', ...secret });
const patch = (name: string, change: object) => call('PATCH', `/${name}`, change);
const batch = (format: string, content: string) => call('POST', '/batch', { format, content });
const fieldsOf = ({ body }: Answer): string[] => (body.validations ?? []).map(({ field }: { field: string }) => field);
const outcome = (answer: Answer) => [answer.status, ...fieldsOf(answer)];
const namesOf = async () => (await call('GET', '')).body.map(({ name }: { name: string }) => name);
const auditOf = (action: 'create' | 'write' | 'delete') =>
  api.db
    .select({ diff: auditLogs.diff, target: auditLogs.resourceTarget, status: auditLogs.statusCode })
    .from(auditLogs)
    .where(and(eq(auditLogs.resourceType, 'user_secret'), eq(auditLogs.userId, user.id), eq(auditLogs.action, action)));
const bytes = (count: number) => 'x'.repeat(count);

describe('a secret', () => {
  test('is created, listed by name, shown, changed and deleted, and its value never comes back', async () => {
    const made = await create({ name: 'token', value: canary, env_name: 'API_TOKEN', description: 'for the API' });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      id: expect.any(String) as string,
      name: 'token',
      description: 'for the API',
      env_name: 'API_TOKEN',
      file_path: '',
      enabled: true,
      created_at: api.clock.now.toISOString(),
      updated_at: api.clock.now.toISOString(),
    });
    await create({ name: 'Zeta', file_path: '~//x/./y' });
    await create({ name: 'a b%2F', file_path: '/z/' });
    expect(await namesOf()).toEqual(['Zeta', 'a b%2F', 'token']);
    expect((await call('GET', `/${encodeURIComponent('a b%2F')}`)).body).toMatchObject({ file_path: '/z' });
    expect((await call('GET', '/Zeta')).body).toMatchObject({ file_path: '~/x/y' });
    expect((await call('GET', '/token')).body).toEqual(made.body);
    const changed = await patch('token', { value: `${canary}-2`, env_name: '', file_path: '/token' });
    expect(changed.body).toMatchObject({ env_name: '', file_path: '/token', description: 'for the API' });
    expect((await call('DELETE', '/token')).status).toBe(204);
    expect([(await call('GET', '/token')).status, (await call('DELETE', '/token')).status]).toEqual([404, 404]);
    expect((await patch('token', { enabled: true })).status).toBe(404);
  });

  test.each([
    [{ name: '' }, ['name']],
    [{ name: 'a/b' }, ['name']],
    [{ name: bytes(257) }, ['name']],
    [{ value: '' }, ['value']],
    [{ value: 'a\0b' }, ['value']],
    [{ value: bytes(24_577) }, ['value']],
    [{ env_name: 'CODER_AGENT_TOKEN' }, ['env_name']],
    [{ env_name: 'path' }, ['env_name']],
    [{ file_path: 'relative' }, ['file_path']],
    [{ file_path: '/a/../b' }, ['file_path']],
    [{ file_path: `/${bytes(4_096)}` }, ['file_path']],
    [{ env_name: '' }, ['env_name']],
    [{ name: ' x', value: '', env_name: '1', file_path: 'x' }, ['name', 'value', 'env_name', 'file_path']],
    [{ name: 7 }, ['name']],
    [{ enabled: 'yes' }, ['enabled']],
  ])('of %j is refused with 400', async (given, fields) => {
    expect(outcome(await create({ name: 'n', env_name: 'E', ...given }))).toEqual([400, ...fields]);
    expect(await namesOf()).toEqual([]);
  });

  test('of the largest value is kept', async () => {
    expect((await create({ name: 'n', file_path: '/n', value: bytes(24_576) })).status).toBe(201);
  });

  test('without a target is kept only while it is disabled', async () => {
    expect((await create({ name: 'off', enabled: false })).status).toBe(201);
    expect(outcome(await patch('off', { enabled: true }))).toEqual([400, 'env_name']);
    expect((await patch('off', { enabled: true, file_path: '/off' })).status).toBe(200);
    expect(outcome(await patch('off', { file_path: '' }))).toEqual([400, 'env_name']);
    expect((await patch('off', { file_path: '', enabled: false })).status).toBe(200);
  });

  test('is not changed by a PATCH that says nothing', async () => {
    await create({ name: 'n', env_name: 'N' });
    expect((await patch('n', {})).status).toBe(400);
    expect((await patch('n', { unknown: 1, name: 'other' })).status).toBe(400);
    expect((await patch('n', { description: '' })).status).toBe(200);
  });

  test('conflicts by name, env name and normalised path; every field is told', async () => {
    await create({ name: 'one', env_name: 'ONE', file_path: '/a/b' });
    await create({ name: 'two', env_name: 'TWO' });
    expect(outcome(await create({ name: 'one', env_name: 'X' }))).toEqual([409, 'name']);
    expect(outcome(await create({ name: 'x', env_name: 'ONE' }))).toEqual([409, 'env_name']);
    expect(outcome(await create({ name: 'x', file_path: '/a//./b/' }))).toEqual([409, 'file_path']);
    expect(outcome(await create({ name: 'one', env_name: 'TWO', file_path: '/a/b' }))).toEqual([
      409,
      'name',
      'env_name',
      'file_path',
    ]);
    expect(outcome(await patch('two', { env_name: 'ONE', file_path: '/a/b' }))).toEqual([409, 'env_name', 'file_path']);
    expect((await patch('one', { env_name: 'ONE', file_path: '/a/b' })).status).toBe(200);
    const other = user;
    user = await api.createUser();
    expect((await create({ name: 'one', env_name: 'ONE', file_path: '/a/b' })).status).toBe(201);
    user = other;
  });
});

describe('limits of a user', () => {
  test('50 secrets, and a change at the cap passes', async () => {
    const all = Object.fromEntries(Array.from({ length: 49 }, (_, index) => [`S${index}`, 'x']));
    expect((await batch('json', JSON.stringify(all))).status).toBe(201);
    expect((await create({ name: 'S49', env_name: 'S49' })).status).toBe(201);
    expect(outcome(await create({ name: 'S50', env_name: 'S50' }))).toEqual([400, 'name']);
    expect((await patch('S7', { value: 'y', env_name: 'SEVEN' })).status).toBe(200);
    await call('DELETE', '/S0');
    expect((await create({ name: 'S50', env_name: 'S50' })).status).toBe(201);
  });

  test('24 576 bytes in variables, 204 800 in all; own old bytes do not count', async () => {
    expect((await create({ name: 'a', env_name: 'A', value: bytes(24_000) })).status).toBe(201);
    expect((await create({ name: 'b', env_name: 'B', value: bytes(576) })).status).toBe(201);
    expect(outcome(await create({ name: 'c', env_name: 'C', value: 'x' }))).toEqual([400, 'env_name']);
    expect((await patch('b', { value: bytes(576) })).status).toBe(200);
    expect(outcome(await patch('b', { value: bytes(577) }))).toEqual([400, 'env_name']);
    for (let index = 0; index < 7; index += 1)
      expect((await create({ name: `f${index}`, file_path: `/f${index}`, value: bytes(24_576) })).status).toBe(201);
    // 24 576 + 7 × 24 576 = 196 608; 8 192 are left.
    expect((await create({ name: 'rest', file_path: '/rest', value: bytes(8_192) })).status).toBe(201);
    expect(outcome(await create({ name: 'more', file_path: '/more', value: 'x' }))).toEqual([400, 'value']);
    expect(outcome(await patch('rest', { value: bytes(8_193) }))).toEqual([400, 'value']);
    expect((await patch('rest', { value: bytes(8_192), description: 'at the cap' })).status).toBe(200);
    expect(outcome(await patch('rest', { env_name: 'REST' }))).toEqual([400, 'env_name']);
  });

  test('two creates at the same moment do not pass the cap', async () => {
    const all = Object.fromEntries(Array.from({ length: 49 }, (_, index) => [`S${index}`, 'x']));
    await batch('json', JSON.stringify(all));
    const both = await Promise.all([
      create({ name: 'p', env_name: 'P' }),
      create({ name: 'q', env_name: 'Q' }),
      create({ name: 'r', env_name: 'R' }),
    ]);
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 400, 400]);
    expect(await namesOf()).toHaveLength(50);
  });

  test('two creates of one name: one is kept, the other is a conflict', async () => {
    const both = await Promise.all([1, 2, 3].map((n) => create({ name: 'same', env_name: `E${n}` })));
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409]);
  });
});

describe('others', () => {
  test('see and change nothing, also a site owner; a narrow token is refused', async () => {
    await create({ name: 'mine', env_name: 'MINE' });
    const admin = await api.createUser({ roles: ['user-admin', 'auditor', 'template-admin'] });
    for (const token of [api.ownerToken, admin.token])
      for (const [method, path, body] of [
        ['GET', '', undefined],
        ['POST', '', { name: 'x', value: 'v', env_name: 'X' }],
        ['POST', '/batch', { format: 'env', content: 'X=' }],
        ['GET', '/mine', undefined],
        ['GET', '/none', undefined],
        ['PATCH', '/mine', { enabled: false }],
        ['PATCH', '/none', {}],
        ['DELETE', '/mine', undefined],
      ] as const) {
        const answer = await call(method, path, body, token, user.id);
        expect([method, path, answer.status]).toEqual([method, path, 404]);
      }
    expect(await namesOf()).toEqual(['mine']);
    const narrow = await api.createKey(user.id, { scopes: ['workspace:read'] });
    expect((await call('GET', '', undefined, narrow)).status).toBe(403);
    const reader = await api.createKey(user.id, { scopes: ['user_secret:read'] });
    expect((await call('GET', '/mine', undefined, reader)).status).toBe(200);
    expect((await call('DELETE', '/mine', undefined, reader)).status).toBe(403);
  });

  test('system users have none, for anybody', async () => {
    for (const who of ['prebuilds', 'c42fdf75-3097-471c-8c33-fb52454d81c0'])
      for (const token of [api.ownerToken, user.token]) {
        expect((await call('GET', '', undefined, token, who)).status).toBe(404);
        expect((await call('POST', '', { name: 'x', value: 'v', env_name: 'X' }, token, who)).status).toBe(404);
      }
  });

  test('a deleted user leaves none behind', async () => {
    await create({ name: 'mine', env_name: 'MINE' });
    expect((await api.request('DELETE', `/api/v2/users/${user.id}`, { token: api.ownerToken })).status).toBe(200);
    const rows = await api.db.select({ id: userSecrets.id }).from(userSecrets).where(eq(userSecrets.userId, user.id));
    expect(rows).toEqual([]);
  });
});

describe('a file', () => {
  test.each([
    ['env', 'B_KEY=1\nexport A_KEY="two"\n'],
    ['json', '{"B_KEY": "1", "A_KEY": "two"}'],
    ['yaml', 'B_KEY: "1"\nA_KEY: two\n'],
  ])('in %s format becomes one variable per name, in its order', async (format, content) => {
    const answer = await batch(format, content);
    expect(answer.status).toBe(201);
    expect(answer.body.map((each: { name: string; env_name: string }) => [each.name, each.env_name])).toEqual([
      ['B_KEY', 'B_KEY'],
      ['A_KEY', 'A_KEY'],
    ]);
    const injected = await listInjectedSecrets(api.db, api.deps.cipher, user.id);
    expect(injected.map(({ name, value }) => [name, value.toString()])).toEqual([
      ['A_KEY', 'two'],
      ['B_KEY', '1'],
    ]);
  });

  test('is taken whole or not at all; every problem and every conflict is told at once', async () => {
    await create({ name: 'KEPT', env_name: 'OTHER' });
    await create({ name: 'x', env_name: 'TAKEN' });
    const bad = await batch('env', 'GOOD=1\nPATH=2\nEMPTY=\nGIT_X=3');
    expect(outcome(bad)).toEqual([400, 'secrets[1].env_name', 'secrets[2].value', 'secrets[3].env_name']);
    const taken = await batch('json', '{"NEW": "1", "KEPT": "2", "TAKEN": "3", "OTHER": "4"}');
    expect(outcome(taken)).toEqual([409, 'secrets[1].name', 'secrets[2].env_name', 'secrets[3].env_name']);
    expect(await namesOf()).toEqual(['KEPT', 'x']);
    // The two above; a refused file left neither rows nor traces of a success.
    const rows = await auditOf('create');
    expect(rows.filter(({ status }) => status === 201).map(({ target }) => target)).toEqual(['KEPT', 'x']);
    expect(rows.filter(({ status }) => status === 409)).toHaveLength(1);
  });

  test('that passes a limit of the user leaves nothing', async () => {
    await create({ name: 'big', env_name: 'BIG', value: bytes(24_570) });
    expect(outcome(await batch('env', `A=123456\nB=7`))).toEqual([400, 'env_name']);
    expect(await namesOf()).toEqual(['big']);
  });

  test.each([
    ['env', 'A=1\nA=2'],
    ['json', '{"A": "1", "A": "2"}'],
    ['yaml', 'A: "1"\nA: "2"'],
    ['yaml', 'A: 1'],
    ['yaml', 'A: a\n---\nB: b'],
    ['json', '{"A": 1}'],
    ['json', 'nonsense'],
    ['env', ''],
  ])('of %s %j is refused', async (format, content) => {
    expect(outcome(await batch(format, content))).toEqual([400, 'content']);
  });

  test('of another format is refused, one above 1 MiB is too large', async () => {
    expect(outcome(await batch('toml', 'A=1'))).toEqual([400, 'format']);
    const comment = (length: number) => `A=1\n#${'c'.repeat(length - 5)}`;
    expect((await batch('env', comment(1_048_576))).status).toBe(201);
    await call('DELETE', '/A');
    expect((await batch('env', comment(1_048_577))).status).toBe(413);
    expect((await batch('env', '"'.repeat(1_048_576))).status).toBe(413);
  });
});

describe('the audit log', () => {
  test('has one row per change in its own transaction, with the value masked', async () => {
    await create({ name: 'n', env_name: 'N', value: canary });
    await patch('n', { value: `${canary}-again` });
    await patch('n', { description: 'd', enabled: false });
    await call('DELETE', '/n');
    const masked = { old: '', new: '', secret: true };
    expect(await auditOf('create')).toEqual([
      {
        status: 201,
        target: 'n',
        diff: {
          name: { old: null, new: 'n', secret: false },
          description: { old: null, new: '', secret: false },
          env_name: { old: null, new: 'N', secret: false },
          file_path: { old: null, new: '', secret: false },
          enabled: { old: null, new: true, secret: false },
          value: masked,
        },
      },
    ]);
    expect((await auditOf('write')).map(({ diff }) => diff)).toEqual([
      { value: masked },
      { description: { old: '', new: 'd', secret: false }, enabled: { old: true, new: false, secret: false } },
    ]);
    expect(await auditOf('delete')).toMatchObject([
      { status: 204, diff: { value: masked, name: { old: 'n', new: null } } },
    ]);
  });
});

describe('injection', () => {
  test('gives the enabled ones with their values, in the order of their names', async () => {
    await create({ name: 'b', env_name: 'B', value: 'two' });
    await create({ name: 'Z', file_path: '~/z', value: 'öne' });
    await create({ name: 'off', env_name: 'OFF', enabled: false });
    expect(await listInjectedSecrets(api.db, api.deps.cipher, user.id)).toEqual([
      { name: 'Z', envName: '', filePath: '~/z', value: Buffer.from('öne') },
      { name: 'b', envName: 'B', filePath: '', value: Buffer.from('two') },
    ]);
    expect(await listInjectedSecrets(api.db, api.deps.cipher, api.owner.id)).toEqual([]);
  });

  test('reads values of the old and the new key, and refuses one that was moved to another row', async () => {
    const key = (n: number) => Buffer.alloc(32, n).toString('base64');
    const before = (await create({ name: 'old', env_name: 'OLD', value: 'one' })).body.id as string;
    const rotated = createColumnCipher([key(9), key(1)]);
    const after = (await create({ name: 'new', env_name: 'NEW', value: 'x' })).body.id as string;
    await updateSecret(api.db, after, sealSecret(rotated, after, 'two'));
    const values = (await listInjectedSecrets(api.db, rotated, user.id)).map(({ value }) => value.toString());
    expect(values).toEqual(['two', 'one']);
    await expect(listInjectedSecrets(api.db, api.deps.cipher, user.id)).rejects.toThrow('unknown encryption key');
    await updateSecret(api.db, after, sealSecret(rotated, before, 'moved'));
    await expect(listInjectedSecrets(api.db, rotated, user.id)).rejects.toThrow();
  });
});

describe('a value', () => {
  test('stands in no column, log line or answer, also when something fails', async () => {
    await create({ name: 'n', env_name: 'N', value: canary });
    await create({ name: 'n', env_name: 'N', value: canary });
    await create({ name: '', env_name: 'PATH', value: canary });
    await batch('json', `{"A": "${canary}", "A": "${canary}"}`);
    await batch('json', `{"A": ${canary}}`);
    await batch('yaml', `A: "${canary}\nB: [`);
    await batch('yaml', `A: {${canary}: 1}`);
    await batch('env', `A="${canary}`);
    await batch('env', canary);
    await call('POST', '', `{"name": "x", "value": "${canary}`);
    // A failure that nobody foresaw.
    await api.db.execute(sql`alter table user_secrets add constraint surprise check (name <> 'surprise')`);
    expect((await create({ name: 'surprise', env_name: 'S', value: canary })).status).toBe(500);
    await api.db.execute(sql`alter table user_secrets drop constraint surprise`);
    const dump = await api.db.execute(sql`select t::text as row, encode(value, 'escape') as value from user_secrets t
      union all select a::text, '' from audit_logs a`);
    for (const [where, text] of [
      ['tables', JSON.stringify(dump)],
      ['logs', api.logs.join('\n')],
      ['answers', answers.join('\n')],
    ] as const)
      expect([where, text.includes(canary)]).toEqual([where, false]);
    expect(dump.length).toBeGreaterThan(10);
    expect((await listInjectedSecrets(api.db, api.deps.cipher, user.id))[0]?.value.toString()).toBe(canary);
  });
});

import { expect, test } from 'vitest';
import { createClient } from '../../cli/client.ts';
import { CliError } from '../../cli/errors.ts';
import { fakeServer } from './support/fake-server.ts';
import { createCli } from './support/run.ts';

const token = 'aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb';
const errorOf = async (work: Promise<unknown>): Promise<CliError> => {
  const err = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(err).toBeInstanceOf(CliError);
  return err as CliError;
};

test('a read is repeated while the server cannot answer, and then gives the answer', async () => {
  const { url, seen } = await fakeServer((_, count) =>
    count === 1 ? { cut: true } : count === 2 ? { status: 503, body: { message: 'starting' } } : { body: { ok: true } },
  );
  expect(await createClient({ url, token }).get('/api/v2/x')).toEqual({ ok: true });
  expect(seen).toHaveLength(3);
});

test('a write without an idempotency key is sent once, one with a key is repeated with the same key', async () => {
  const plain = await fakeServer(() => ({ cut: true }));
  const error = await errorOf(createClient({ url: plain.url, token }).request('/x', { method: 'POST', json: {} }));
  expect(error.exitCode).toBe(5);
  expect(plain.seen).toHaveLength(1);

  const keyed = await fakeServer((_, count) => (count < 3 ? { cut: true } : { status: 201, body: { id: '1' } }));
  const call = { method: 'POST', json: { a: 1 }, idempotencyKey: 'k1' } as const;
  expect(await createClient({ url: keyed.url, token }).request('/x', call)).toEqual({ id: '1' });
  expect(keyed.seen.map(({ headers, body }) => [headers['idempotency-key'], body])).toEqual([
    ['k1', '{"a":1}'],
    ['k1', '{"a":1}'],
    ['k1', '{"a":1}'],
  ]);
});

test('too many requests are waited for as long as the server says, also for a write', async () => {
  const { url, seen } = await fakeServer((_, count) =>
    count === 1 ? { status: 429, body: { message: 'slow down' }, headers: { 'retry-after': '1' } } : { status: 204 },
  );
  const began = Date.now();
  expect(await createClient({ url, token }).request('/x', { method: 'POST' })).toBeUndefined();
  expect(Date.now() - began).toBeGreaterThanOrEqual(950);
  expect(seen).toHaveLength(2);
});

test.each([
  [400, 1],
  [401, 3],
  [403, 1],
  [404, 4],
  [409, 1],
  [410, 4],
  [500, 1],
])('status %i ends with exit code %i and the words of the server', async (status, code) => {
  const { url } = await fakeServer(() => ({ status, body: { message: 'As I said' } }));
  const error = await errorOf(createClient({ url, token, patienceMs: 0 }).request('/x', { method: 'POST' }));
  expect(error).toMatchObject({ exitCode: code, message: 'As I said', status });
});

test('a server that does not answer ends with 5 and says what to do', async () => {
  const { url, close } = await fakeServer(() => ({}));
  await close();
  const outcome = await createCli({ url, token })('logout');
  expect(outcome).toMatchObject({ code: 5, stdout: '' });
  expect(outcome.stderr).toMatch(/^error: http:\S+ cannot be reached: nothing listens there\n {2}next: .*npm run up/);
});

test('a web page instead of JSON is not taken for our API', async () => {
  const { url } = await fakeServer(() => ({ text: { type: 'text/html', value: '<h1>Hello</h1>' } }));
  const outcome = await createCli({ url, token })('whoami');
  expect(outcome).toMatchObject({ code: 5 });
  expect(outcome.stderr).toContain('does not answer as a Berth API');
});

test('fields that are wrong are listed one per line, and as JSON when asked for', async () => {
  const { url } = await fakeServer(() => ({
    status: 400,
    body: {
      message: 'Not valid.',
      validations: [
        { field: 'name', detail: 'is taken' },
        { field: '', detail: 'odd' },
      ],
    },
  }));
  const cli = createCli({ url, token });
  const text = await cli('list');
  expect(text.stderr).toBe('error: Not valid\n  name: is taken\n  (request): odd\n');
  const json = await cli('list', '--json');
  expect(json.code).toBe(1);
  expect(json.json()).toMatchObject({ error: { message: 'Not valid.', status: 400, exit_code: 1 } });
  expect(json.json().error.validations).toHaveLength(2);
});

test('without a session every command ends with 3, and a wrong call with 2', async () => {
  const cli = createCli();
  for (const args of [['whoami'], ['list'], ['templates', 'list'], ['create', 'a', '-t', 'b'], ['tokens', 'list']])
    expect(await cli(...args)).toMatchObject({ code: 3, stdout: '' });
  expect((await cli('list', '--json')).json()).toMatchObject({ error: { exit_code: 3 } });
  for (const args of [
    ['nonsense'],
    ['create', 'a'],
    ['start'],
    ['list', '--limit', 'x'],
    ['show', 'a', '--colour'],
    [],
  ])
    expect(await cli(...args), args.join(' ')).toMatchObject({ code: 2 });
  for (const args of [['--help'], ['--version'], ['templates', '--help']])
    expect(await cli(...args), args.join(' ')).toMatchObject({ code: 0, stderr: '' });
});

test('a stored token is not sent to another server than the one it was made for', async () => {
  const other = await fakeServer(() => ({ body: {} }));
  const cli = createCli({ url: 'http://127.0.0.1:1', token });
  expect(await cli.with({ env: { BERTH_URL: other.url } }, 'whoami')).toMatchObject({ code: 3 });
  expect(await cli('whoami', '--url', other.url)).toMatchObject({ code: 3 });
  expect(other.seen).toEqual([]);
  await cli.with({ env: { BERTH_URL: other.url, BERTH_SESSION_TOKEN: 'given' } }, 'logout');
  expect(other.seen.map(({ headers }) => headers['coder-session-token'])).toEqual(['given']);
});

test('a reference that is no workspace is refused before anybody is asked', async () => {
  const { url, seen } = await fakeServer(() => ({ body: {} }));
  const cli = createCli({ url, token });
  for (const reference of ['a/b/c', '/a', 'a/', '']) expect(await cli('show', reference)).toMatchObject({ code: 2 });
  expect(seen).toEqual([]);
});

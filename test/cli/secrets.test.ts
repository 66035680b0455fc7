import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { listInjectedSecrets } from '../../db/queries/user-secrets.ts';
import { type TestApi, type TestUser, createTestApi } from '../support/api.ts';
import { type ServedApi, serveApi } from '../support/served-api.ts';
import { type Cli, type Outcome, createCli } from './support/run.ts';

let api: TestApi;
let served: ServedApi;
let user: TestUser;
let cli: Cli;
const canary = `canary-${randomUUID()}`;
const outputs: string[] = [];

beforeAll(async () => {
  api = await createTestApi();
  served = await serveApi(api);
});
afterAll(async () => {
  await served.close();
  await api.close();
  expect(outputs.join('\n')).not.toContain(canary);
});
beforeEach(async () => {
  user = await api.createUser();
  cli = createCli({ url: served.url, token: user.token });
});

async function call(...args: string[]): Promise<Outcome> {
  return callWith('', ...args);
}
async function callWith(input: string, ...args: string[]): Promise<Outcome> {
  const outcome = await cli.with({ input }, ...args);
  outputs.push(outcome.stdout, outcome.stderr);
  return outcome;
}
const file = (name: string, content: string | Buffer): string => {
  const path = join(cli.configDir, name);
  writeFileSync(path, content);
  return path;
};
const injected = async () =>
  (await listInjectedSecrets(api.db, api.deps.cipher, user.id)).map(({ name, envName, filePath, value }) =>
    [name, envName, filePath, value.toString()].join('|'),
  );

test('a secret is set from standard input, shown without its value, changed and deleted', async () => {
  const made = await callWith(`${canary}\n`, 'secrets', 'set', 'API_TOKEN', '--description', 'for the API');
  expect(made, made.stderr).toMatchObject({ code: 0 });
  expect(made.stdout).toBe('Secret API_TOKEN is kept as variable API_TOKEN; workspaces get it at their next start\n');
  expect(await injected()).toEqual([`API_TOKEN|API_TOKEN||${canary}`]);
  expect((await call('secrets', 'list')).stdout).toMatch(
    /^NAME .*\nAPI_TOKEN +API_TOKEN +yes +\d+ ms ago +for the API\n$/,
  );
  expect((await call('secrets', 'list', '--json')).json()).toMatchObject([{ name: 'API_TOKEN', enabled: true }]);
  expect((await call('secrets', 'show', 'API_TOKEN')).stdout).toMatch(/^variable +API_TOKEN$/m);
  expect((await callWith('unused', 'secrets', 'set', 'API_TOKEN', '--file', '~/.token', '--env', '')).code).toBe(0);
  expect(await injected()).toEqual([`API_TOKEN||~/.token|${canary}`]);
  expect((await callWith('second', 'secrets', 'set', 'API_TOKEN')).code).toBe(0);
  expect(await injected()).toEqual(['API_TOKEN||~/.token|second']);
  expect((await call('secrets', 'set', 'API_TOKEN', '--disable')).stdout).toContain('is kept, disabled');
  expect(await injected()).toEqual([]);
  expect((await call('secrets', 'delete', 'API_TOKEN')).stdout).toBe('Secret API_TOKEN is deleted\n');
  for (const verb of ['show', 'delete']) expect(await call('secrets', verb, 'API_TOKEN')).toMatchObject({ code: 4 });
  expect((await call('secrets', 'list')).stdout).toContain('No secrets.');
});

test('the value may come from the command line or, as it is, from a file', async () => {
  expect((await call('secrets', 'set', 'A', '--value', canary)).code).toBe(0);
  const key = file('key.pem', `-----BEGIN-----\n${canary}\n`);
  expect((await call('secrets', 'set', 'ssh key', '--value-file', key, '--file', '~/.ssh/id', '--json')).code).toBe(0);
  expect(await injected()).toEqual([`A|A||${canary}`, `ssh key||~/.ssh/id|-----BEGIN-----\n${canary}\n`]);
  const binary = file('binary', Buffer.from([0xff, 0xfe]));
  expect(await call('secrets', 'set', 'B', '--value-file', binary)).toMatchObject({ code: 2 });
  expect(await call('secrets', 'set', 'B', '--value-file', join(cli.configDir, 'none'))).toMatchObject({ code: 2 });
  expect(await call('secrets', 'set', 'B', '--value', 'x', '--value-file', key)).toMatchObject({ code: 2 });
  expect(await call('secrets', 'set', 'B', '--value', 'x', '--enable', '--disable')).toMatchObject({ code: 2 });
});

test('without a value or a place it says what is missing, and asks nobody', async () => {
  const empty = await call('secrets', 'set', 'A');
  expect([empty.code, empty.stderr.includes('--value-file')]).toEqual([2, true]);
  const nowhere = await callWith('x', 'secrets', 'set', 'my key');
  expect([nowhere.code, nowhere.stderr.includes('--env NAME or --file')]).toEqual([2, true]);
  const refused = await callWith('x', 'secrets', 'set', 'PATH');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('env_name: "PATH" is a reserved name')]);
});

test('a file is imported whole, its format known by its name or said', async () => {
  const yaml = await call('secrets', 'import', file('s.yml', `ONE: "${canary}"\nTWO: two\n`));
  expect(yaml.stdout).toBe('2 secrets are kept: ONE, TWO\n');
  expect((await call('secrets', 'import', file('.env.local', 'THREE=3'))).code).toBe(0);
  expect((await callWith('{"FOUR": "4"}', 'secrets', 'import', '-', '--format', 'json', '--json')).json()).toHaveLength(
    1,
  );
  expect(await call('secrets', 'import', file('secrets.txt', 'A=1'))).toMatchObject({ code: 2 });
  const conflict = await call('secrets', 'import', file('more.env', `FIVE=${canary}\nONE=1\n`));
  expect([conflict.code, conflict.stderr]).toEqual([1, expect.stringContaining('secrets[1].name: is already taken')]);
  const broken = await call('secrets', 'import', file('broken.json', `{"A": ${canary}}`));
  expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('content: is not valid JSON')]);
  expect((await call('secrets', 'list', '--json')).json().map(({ name }: { name: string }) => name)).toEqual([
    'FOUR',
    'ONE',
    'THREE',
    'TWO',
  ]);
});

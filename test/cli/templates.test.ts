import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { workerEnvironment } from '../../config.ts';
import { run } from '../../toolchain/process.ts';
import { testTerraform } from '../support/services.ts';
import { createCli } from './support/run.ts';
import { exampleDirectory, startCliStack } from './support/cli-stack.ts';
import type { CliStack } from './support/cli-stack.ts';

let stack: CliStack;
beforeAll(async () => {
  stack = await startCliStack();
}, 120_000);
afterAll(() => stack.stop());

function templateOf(files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-template-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

test('signing in with a password keeps a private session that the server knows until logout', async () => {
  const cli = createCli();
  const person = { email: 'ada@example.com', username: 'ada', password: 'Correct-Horse-9-Staple' };
  const { status } = await stack.api.request('POST', '/api/v2/users', {
    token: stack.api.ownerToken,
    body: { ...person, login_type: 'password', organization_ids: [stack.api.organizationId] },
  });
  expect(status).toBe(201);
  expect(await cli('whoami')).toMatchObject({ code: 3 });
  const signIn = ['login', stack.url, '--email', person.email, '--password-stdin'];
  const wrong = await cli.with({ input: 'no' }, ...signIn);
  expect(wrong).toMatchObject({ code: 3 });
  expect(wrong.stderr).not.toContain('Route');
  const signedIn = await cli.with({ input: `${person.password}\n` }, ...signIn, '--json');
  expect(signedIn, signedIn.stderr).toMatchObject({ code: 0 });
  expect(signedIn.json()).toMatchObject({ username: 'ada', url: stack.url });
  const file = join(cli.configDir, 'cli.json');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect((await cli('whoami', '--json')).json()).toMatchObject({ username: 'ada', url: stack.url });
  const { token } = JSON.parse(readFileSync(file, 'utf8')) as { token: string };
  expect(await cli('logout')).toMatchObject({ code: 0 });
  const env = { BERTH_URL: stack.url, BERTH_SESSION_TOKEN: token };
  expect(await cli.with({ env }, 'whoami')).toMatchObject({ code: 3 });
  const reference = { CODER_URL: stack.url, CODER_SESSION_TOKEN: stack.api.ownerToken };
  expect(await cli.with({ env: reference }, 'whoami')).toMatchObject({ code: 0 });
});

test('a token that is given is tried before it is kept', async () => {
  const cli = createCli();
  const bad = `${'a'.repeat(10)}-${'b'.repeat(22)}`;
  expect(await cli('login', stack.url, '--token', bad)).toMatchObject({ code: 3 });
  expect(await cli('whoami')).toMatchObject({ code: 3 });
  expect(await cli('login', stack.url, '--token', stack.api.ownerToken)).toMatchObject({ code: 0 });
  expect((await cli('whoami')).stdout).toMatch(/^user +owner$/m);
});

test('versions are pushed, listed, promoted and shown; a template without workspaces can be deleted', async () => {
  const { cli } = stack;
  const first = templateOf({
    'main.tf': 'variable "size" {\n  type = string\n}\nresource "terraform_data" "a" {\n  input = var.size\n}\n',
    'README.md': '---\ndisplay_name: "A small one"\ndescription: For tests\n---\n# Small\n',
  });
  const missing = await cli('templates', 'push', first, '--name', 'small');
  expect(missing).toMatchObject({ code: 1 });
  expect(missing.stderr).toContain('  size: ');
  expect(missing.stderr).toContain('--variable size=');
  expect(await cli('templates', 'show', 'small')).toMatchObject({ code: 4 });

  const push = ['templates', 'push', first, '--name', 'small', '--variable', 'size=s'];
  const pushed = await cli(...push, '--version-name', 'one', '-m', 'first try', '--json');
  expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
  expect(pushed.json()).toMatchObject({
    created: true,
    active: true,
    template: { name: 'small', display_name: 'A small one', description: 'For tests' },
    version: { name: 'one', job: { status: 'succeeded' } },
  });
  const second = await cli(...push, '--version-name', 'two', '--no-activate');
  expect(second, second.stderr).toMatchObject({ code: 0 });
  expect(second.stdout).toContain('berth templates promote small two');
  const versions = await cli('templates', 'versions', 'small');
  expect(versions.stdout).toMatch(/^two +succeeded +owner/m);
  expect(versions.stdout).toMatch(/^one +succeeded +active +owner .*first try$/m);
  expect((await cli(...push, '--version-name', 'two')).stderr).toContain('  name: ');

  expect(await cli('templates', 'promote', 'small', 'two')).toMatchObject({ code: 0 });
  expect((await cli('templates', 'show', 'small')).stdout).toMatch(/^version +two \(active\)$/m);
  expect((await cli('templates', 'show', 'small', '--template-version', 'one')).stdout).toMatch(/^version +one$/m);
  expect(await cli('templates', 'promote', 'small', 'three')).toMatchObject({ code: 4 });
  expect((await cli('templates', 'list', '-q', 'small', '--json')).json()).toHaveLength(1);
  expect(await cli('templates', 'delete', 'small', '--yes')).toMatchObject({ code: 0 });
  expect(await cli('templates', 'show', 'small')).toMatchObject({ code: 4 });
});

test('a broken template fails with its reason, and the template keeps its active version', async () => {
  const { cli } = stack;
  const good = templateOf({ 'main.tf': 'resource "terraform_data" "a" {\n}\n' });
  expect(await cli('templates', 'push', good, '--name', 'steady', '--version-name', 'one')).toMatchObject({ code: 0 });
  const broken = templateOf({ 'main.tf': 'resource "terraform_data" "a" {\n  count = "many"\n}\n' });
  const failed = await cli('templates', 'push', broken, '--name', 'steady', '--version-name', 'two');
  expect(failed).toMatchObject({ code: 1 });
  expect(failed.stderr).toMatch(/^error: The import of version two failed: .+/);
  expect((await cli('templates', 'show', 'steady')).stdout).toMatch(/^version +one \(active\)$/m);
});

test('tokens are shown once, listed without their secret, and work until they are removed', async () => {
  const { cli } = stack;
  const created = await cli('tokens', 'create', '--name', 'ci', '--lifetime', '2d', '--json');
  expect(created, created.stderr).toMatchObject({ code: 0 });
  const { key } = created.json() as { key: string };
  const robot = createCli({ url: stack.url, token: key });
  expect(await robot('whoami')).toMatchObject({ code: 0 });
  const list = await cli('tokens', 'list');
  expect(list.stdout).toMatch(new RegExp(`^${key.slice(0, 10)} +ci +`, 'm'));
  expect(list.stdout).not.toContain(key.slice(11));
  expect(await cli('tokens', 'remove', 'ci')).toMatchObject({ code: 0 });
  expect(await robot('whoami')).toMatchObject({ code: 3 });
  expect(await cli('tokens', 'remove', 'ci')).toMatchObject({ code: 4 });
});

test('the example templates are formatted', async () => {
  const { path, cliConfig } = testTerraform();
  const directory = exampleDirectory('.');
  const env = { ...workerEnvironment(), TF_CLI_CONFIG_FILE: cliConfig };
  const { code, stdout } = await run(path, ['fmt', '-check', '-recursive', directory], { env });
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
});

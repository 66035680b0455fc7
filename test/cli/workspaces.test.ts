import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workerEnvironment } from '../../config.ts';
import { identify, isAlive, run, waitFor } from '../../toolchain/process.ts';
import { createCli } from './support/run.ts';
import type { Outcome } from './support/run.ts';
import { createLine, exampleDirectory, startCliStack, templateDirectory } from './support/cli-stack.ts';
import type { CliStack } from './support/cli-stack.ts';

// The whole way for real: CLI → HTTP → PostgreSQL → Temporal → Terraform → processes and files.
let stack: CliStack;
let base: string;

beforeAll(async () => {
  stack = await startCliStack();
  base = mkdtempSync(join(tmpdir(), 'berth-workspaces-'));
  const pushed = await stack.cli('templates', 'push', templateDirectory('slow'), '--name', 'slow', '-m', 'first');
  expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
}, 120_000);

afterAll(async () => {
  await stack.stop();
  rmSync(base, { recursive: true, force: true });
});

const linesOf = ({ stdout, stderr }: Outcome): string[] =>
  [...`${stdout}\n${stderr}`.matchAll(/: (line \d+)$/gm)].map((match) => match[1] ?? '');
const expected = (count: number): string[] => Array.from({ length: count }, (_, index) => `line ${index + 1}`);

/** Command lines of all processes that name this directory. */
async function commandsWith(directory: string): Promise<string[]> {
  const { stdout } = await run('ps', ['ax', '-o', 'args'], { env: workerEnvironment() });
  return stdout.split('\n').filter((command) => command.includes(directory));
}

/** Runs until the first line of the template's own output is there. */
function startTalking(name: string, lines: number) {
  let heard = '';
  const running = stack.cli.with(
    { onOutput: (text) => (heard += text) },
    'create',
    name,
    '-t',
    'slow',
    '-p',
    `lines=${lines}`,
  );
  return { running, talking: () => waitFor(async () => heard.includes('line 1\n'), 30_000, 10) };
}

test('the example template lives through create, show, stop, start with another parameter, and delete', async () => {
  const { cli } = stack;
  const directory = exampleDirectory('local-process');
  const variables = ['--variable', `base_directory=${base}`, '--variable', 'pool_size=0'];
  const pushed = await cli('templates', 'push', directory, ...variables);
  expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
  expect(pushed.stdout).toContain('Template local-process is made');
  expect(pushed.stdout).toContain('==> ');

  const created = await cli('create', 'life', '-t', 'local-process', '-p', 'disk_mb=2', '--preset', 'quiet', '--json');
  expect(created, created.stderr).toMatchObject({ code: 0 });
  expect(created.json()).toMatchObject({ name: 'life', latest_build: { status: 'running', build_number: 1 } });
  expect(created.stderr).toContain('Apply complete!');
  const home = join(base, created.json().id, 'home');
  const first = await identify(Number(readFileSync(join(base, created.json().id, 'process.pid'), 'utf8')));
  expect(await isAlive(first)).toBe(true);
  writeFileSync(join(home, 'mine.txt'), 'kept');

  const shown = await cli('show', 'life');
  expect(shown.stdout).toMatch(/agent main: connect(ing|ed)/);
  expect(shown.stdout).toMatch(/app page \((initializing|healthy)\): http:\/\/localhost:2\d{4}/);
  expect(shown.stdout).toMatch(/disk_mb +16/);
  expect(shown.stdout).toContain('terraform_data.process_guard (hidden)');

  const stopped = await cli('stop', 'life');
  expect(stopped, stopped.stderr).toMatchObject({ code: 0 });
  expect(await isAlive(first)).toBe(false);
  expect(readFileSync(join(home, 'mine.txt'), 'utf8')).toBe('kept');

  const smaller = await cli('start', 'life', '-p', 'disk_mb=8');
  expect(smaller).toMatchObject({ code: 1 });
  expect(smaller.stderr).toMatch(/^error: .*\n {2}disk_mb: .*\n {2}next: /);
  const fixed = await cli('start', 'life', '-p', 'home_layout=project');
  expect(fixed.stderr).toContain('  home_layout: ');

  const started = await cli('start', 'life', '-p', 'greeting=Moin', '-p', 'disk_mb=24');
  expect(started, started.stderr).toMatchObject({ code: 0 });
  const address = /address: (http:\S+)/.exec(started.stdout)?.[1] ?? '';
  expect(await (await fetch(address)).text()).toMatch(/^Moin\n/);
  expect((await cli('show', 'life', '--json')).json().parameters).toContainEqual({ name: 'disk_mb', value: '24' });

  const restarted = await identify(Number(readFileSync(join(base, created.json().id, 'process.pid'), 'utf8')));
  const deleted = await cli('delete', 'life', '--yes', '--json');
  expect(deleted, deleted.stderr).toMatchObject({ code: 0 });
  expect(deleted.json()).toMatchObject({ transition: 'delete', status: 'deleted' });
  expect(await isAlive(restarted)).toBe(false);
  expect(readdirSync(base)).toEqual([]);
  expect(await cli('show', 'life')).toMatchObject({ code: 4 });
  expect((await cli('show', 'life', '--deleted', '--json')).json().latest_build.status).toBe('deleted');
  expect((await cli('list', '--json')).json()).toEqual({ workspaces: [], count: 0 });
});

test('a start that is canceled leaves neither its process nor, after the delete, its directory', async () => {
  const { cli } = stack;
  const created = await cli('create', 'brief', '-t', 'local-process', '--no-wait', '--json');
  expect(created.json().latest_build.status).toBe('pending');
  const directory = join(base, created.json().id);
  // In the middle of the apply: the home is there, the process is being made.
  expect(await waitFor(async () => existsSync(join(directory, '.workspace')), 30_000, 5)).toBe(true);
  await cli('cancel', 'brief');
  const deleted = await cli('delete', 'brief', '--yes');
  expect(deleted, deleted.stderr).toMatchObject({ code: 0 });
  expect(existsSync(directory)).toBe(false);
  expect(await waitFor(async () => (await commandsWith(directory)).length === 0, 5_000)).toBe(true);
});

test('following a log over a line that is cut again and again shows each line once and in order', async () => {
  const line = await createLine(stack.url);
  const away = createCli({ url: line.url, token: stack.api.ownerToken });
  const count = 60;
  const { running, talking } = startTalking('cut', count);
  expect(await talking()).toBe(true);
  let heard = '';
  const following = away.with({ onOutput: (text) => (heard += text) }, 'logs', '-f', 'cut');
  for (const at of [5, 15, 25, 40]) {
    await waitFor(async () => heard.includes(`line ${at}\n`), 30_000, 5);
    line.cut();
  }
  await line.down();
  await new Promise((done) => setTimeout(done, 300));
  await line.up();
  const followed = await following;
  expect(followed, followed.stderr).toMatchObject({ code: 0 });
  expect(linesOf(followed)).toEqual(expected(count));
  const direct = await running;
  expect(direct, direct.stderr).toMatchObject({ code: 0 });
  expect(linesOf(direct)).toEqual(expected(count));
  expect(linesOf(await stack.cli('logs', 'cut'))).toEqual(expected(count));
  await line.close();
});

test('a running build is canceled; whoever follows it learns so by the exit code', async () => {
  const { cli } = stack;
  const { running, talking } = startTalking('endless', 2_000);
  expect(await talking()).toBe(true);
  const refused = await cli('stop', 'endless');
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain('berth logs -f endless');
  const canceled = await createCli({ url: stack.url, token: stack.api.ownerToken })('cancel', 'endless');
  expect(canceled, canceled.stderr).toMatchObject({ code: 0 });
  expect(canceled.stdout).toContain('is canceled');
  const followed = await running;
  expect(followed).toMatchObject({ code: 1 });
  expect(followed.stderr).toContain('was canceled');
  const again = await cli('cancel', 'endless');
  expect(again).toMatchObject({ code: 1 });
  expect(again.stderr).toContain('has no active build');
  expect((await cli('builds', 'endless', '--json')).json()).toMatchObject([{ job: { status: 'canceled' } }]);
});

test('Ctrl-C stops the following, says how to cancel, and leaves the build alone', async () => {
  const { running, talking } = startTalking('left', 40);
  expect(await talking()).toBe(true);
  stack.cli.interrupt();
  const left = await running;
  expect(left.code).toBe(130);
  expect(left.stderr).toContain('berth cancel left');
  const followed = await stack.cli('logs', '-f', 'left');
  expect(followed, followed.stderr).toMatchObject({ code: 0 });
  expect(linesOf(followed)).toEqual(expected(40));
});

test('a build that fails exits 1 with its reason, and with --json still prints the build', async () => {
  const { cli } = stack;
  const failed = await cli('create', 'broken', '-t', 'slow', '-p', 'fail=true', '--json');
  expect(failed.code).toBe(1);
  expect(failed.json()).toMatchObject({ transition: 'start', job: { status: 'failed' } });
  expect(failed.stderr).toMatch(/error: The start of broken \(build 1\) failed: .+/);
  expect(await cli('logs', '-f', 'broken')).toMatchObject({ code: 1 });
  expect(await cli('logs', 'broken')).toMatchObject({ code: 0 });
  const repaired = await cli('start', 'broken', '-p', 'fail=false');
  expect(repaired, repaired.stderr).toMatchObject({ code: 0 });
});

test('wrong parameters, names and presets are refused before anything is started', async () => {
  const { cli } = stack;
  const create = (...rest: string[]): Promise<Outcome> => cli('create', 'wrong', '-t', 'slow', ...rest);
  const unknown = await create('-p', 'colour=red');
  expect(unknown).toMatchObject({ code: 1 });
  expect(unknown.stderr).toContain('  colour: ');
  expect(await create('-p', 'lines')).toMatchObject({ code: 2 });
  expect(await create('-p', 'lines=1', '-p', 'lines=2')).toMatchObject({ code: 2 });
  expect(await create('--preset', 'none')).toMatchObject({ code: 2 });
  expect(await create('--ttl', 'soon')).toMatchObject({ code: 2 });
  expect((await create('--ttl', '10s')).stderr).toContain('  ttl_ms: ');
  expect(await create('--autostart', 'never')).toMatchObject({ code: 2 });
  expect((await create('--autostart', '0 9 1 * *')).stderr).toContain('  schedule: ');
  expect(await cli('create', 'not a name', '-t', 'slow')).toMatchObject({ code: 1 });
  expect(await cli('create', 'x', '-t', 'nothing')).toMatchObject({ code: 4 });
  expect(await cli('start', 'broken', '-p', 'colour=red')).toMatchObject({ code: 2 });
  expect((await cli('list', '-q', 'name:wrong', '--json')).json().count).toBe(0);
});

test('settings given at creation are what the workspace has, and lists find it by them', async () => {
  const { cli } = stack;
  const settings = ['--ttl', '8h', '--autostart', '09:30 1-5 Europe/Berlin'];
  const created = await cli('create', 'timed', '-t', 'slow', ...settings, '--json');
  expect(created, created.stderr).toMatchObject({ code: 0 });
  expect(created.json()).toMatchObject({
    ttl_ms: 8 * 3_600_000,
    autostart_schedule: 'CRON_TZ=Europe/Berlin 30 9 * * 1-5',
  });
  const list = await cli('list', '-q', 'name:timed');
  expect(list.stdout).toMatch(/^timed +slow +running .* \(in [^)]+\) +\w{3} .* \(in \d+ hours\)$/m);
  expect((await cli('favorite', 'timed', '--json')).json()).toMatchObject({ favorite: true });
  expect((await cli('list')).stdout).toMatch(/^timed ★/m);
  expect(await cli('unfavorite', 'owner/timed')).toMatchObject({ code: 0 });
  expect((await cli('list', '--all')).stdout).toMatch(/^owner\/timed /m);
});

test("another user's workspace is found by owner and name by who may read it, and is not there for anybody else", async () => {
  const stranger = await stack.api.createUser();
  const foreign = createCli({ url: stack.url, token: stranger.token });
  expect(await foreign('show', 'owner/timed')).toMatchObject({ code: 4 });
  expect((await foreign('list', '--all', '--json')).json().count).toBe(0);
  expect((await stack.cli('show', 'owner/timed')).code).toBe(0);
});

test('a delete that forgets the resources asks nobody and ends at once', async () => {
  const orphaned = await stack.cli('delete', 'timed', '--orphan', '--json');
  expect(orphaned, orphaned.stderr).toMatchObject({ code: 0 });
  expect(orphaned.json()).toMatchObject({ transition: 'delete', status: 'deleted' });
});

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { StackState } from '../../scripts/stack/state.ts';
import { startPostgres } from '../../toolchain/postgres.ts';
import { freePort, isAlive, terminate, waitFor } from '../../toolchain/process.ts';
import { silentProgress } from '../../toolchain/progress.ts';
import { startTemporal } from '../../toolchain/temporal-server.ts';
import { testTemporalCli } from '../support/services.ts';
import { temporaryDir } from './fixtures.ts';

const root = resolve(fileURLToPath(new URL('../..', import.meta.url)));

interface Ended {
  readonly code: number | null;
  readonly output: string;
}
interface Clone {
  readonly dataDir: string;
  /** `npm run up -- <args>` as a child process with everything it says. */
  readonly up: (...args: string[]) => {
    readonly child: ChildProcess;
    readonly output: () => string;
    readonly ended: Promise<Ended>;
  };
  readonly state: () => StackState;
}

/** A data directory of its own, away from the usual ports. What it started is ended after the test, whatever happened. */
async function clone(settings: Readonly<Record<string, string>> = {}): Promise<Clone> {
  const dataDir = join(temporaryDir(), 'berth');
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    CI: '1',
    BERTH_DATA_DIR: dataDir,
    TEMPORAL_CLI_PATH: testTemporalCli(),
    CODER_HTTP_ADDRESS: `127.0.0.1:${await freePort()}`,
    CODER_PROMETHEUS_ADDRESS: `127.0.0.1:${await freePort()}`,
    BERTH_PG_PORT: String(await freePort()),
    BERTH_TEMPORAL_PORT: String(await freePort()),
    BERTH_TEMPORAL_UI_PORT: String(await freePort()),
    ...settings,
  };
  const up: Clone['up'] = (...args) => {
    const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'scripts/up.ts'), ...args], {
      cwd: root,
      env,
    });
    let text = '';
    const collect = (chunk: Buffer): void => void (text += chunk.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const ended = new Promise<Ended>((done) => child.once('close', (code) => done({ code, output: text })));
    return { child, output: () => text, ended };
  };
  const state = (): StackState => JSON.parse(readFileSync(join(dataDir, 'up.json'), 'utf8')) as StackState;
  onTestFinished(async () => {
    if (!existsSync(join(dataDir, 'up.json'))) return;
    const { supervisor, units } = state();
    await terminate(supervisor, { graceMs: 30_000 });
    for (const { identity } of units) await terminate(identity, { signal: 'SIGKILL' });
  });
  return { dataDir, up, state };
}
const allGone = async ({ units, supervisor }: StackState): Promise<boolean> => {
  for (const identity of [supervisor, ...units.map((unit) => unit.identity)]) if (await isAlive(identity)) return false;
  return true;
};

test('up starts everything once, survives a kill -9 of its parts and of itself, and stops cleanly', async () => {
  const { dataDir, up, state } = await clone();
  const first = await up('--detach').ended;
  expect(first.output).toContain('Berth is up.');
  expect(first.code).toBe(0);
  const { password } = JSON.parse(readFileSync(join(dataDir, 'first-user.json'), 'utf8')) as { password: string };
  expect(first.output).toContain(password);
  for (const secret of ['first-user.json', 'cli.json', join('postgres', 'settings.json')])
    expect(statSync(join(dataDir, secret)).mode & 0o077, secret).toBe(0);
  const { url, token } = JSON.parse(readFileSync(join(dataDir, 'cli.json'), 'utf8')) as { url: string; token: string };
  const me = () => fetch(`${url}/api/v2/users/me`, { headers: { 'Coder-Session-Token': token } });
  expect((await me()).status).toBe(200);

  // A second one starts nothing and shows no password.
  const before = state();
  const second = await up().ended;
  expect(second.code).toBe(0);
  expect(second.output).toContain(`already running (process ${before.supervisor.pid}`);
  expect(second.output).not.toContain(password);
  expect(state().units).toEqual(before.units);

  // A part that dies comes back.
  const api = before.units.find(({ name }) => name === 'api');
  process.kill(api?.identity.pid ?? 0, 'SIGKILL');
  const answersAgain = async () => state().units.some((unit) => unit.name === 'api' && unit.restarts === 1);
  expect(await waitFor(answersAgain, 20_000)).toBe(true);
  expect(await waitFor(async () => (await me().catch(() => null))?.status === 200, 20_000)).toBe(true);

  // The supervisor itself dies: the next up cleans up, keeps the data and the session.
  process.kill(before.supervisor.pid, 'SIGKILL');
  const leftovers = state();
  const status = await up('--status').ended;
  expect(status).toEqual({ code: 3, output: 'Berth is not running. Start it with npm run up.\n' });
  const third = await up('--detach').ended;
  expect(third.output).toContain('left behind by an earlier run');
  expect(third.output).toContain('first user: exists, CLI signed in');
  expect(third.code).toBe(0);
  for (const { name, identity } of leftovers.units) expect(await isAlive(identity), name).toBe(false);
  expect((await me()).status).toBe(200);

  const running = state();
  expect((await up('--stop').ended).code).toBe(0);
  expect(await allGone(running)).toBe(true);
}, 120_000);

test('with servers of the operator up starts only its own processes, says where a port moved, and Ctrl-C ends them in order', async () => {
  const dir = temporaryDir();
  const database = await startPostgres({ dir: join(dir, 'postgres'), progress: silentProgress, throwaway: true });
  onTestFinished(() => database.stop());
  const temporal = await startTemporal({
    cli: testTemporalCli(),
    env: { HOME: dir },
    logFile: join(dir, 'temporal.log'),
    dbFile: null,
    preferredUiPort: null,
  });
  onTestFinished(() => temporal.stop());
  const blocker = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void blocker.close());
  await new Promise((done) => blocker.once('listening', done));
  const { port } = blocker.address() as { port: number };

  const { up, state } = await clone({
    CODER_PG_CONNECTION_URL: database.url,
    TEMPORAL_ADDRESS: temporal.address,
    CODER_HTTP_ADDRESS: `127.0.0.1:${port}`,
    BERTH_FIRST_USER_EMAIL: 'op@example.com',
    BERTH_FIRST_USER_USERNAME: 'op',
    BERTH_FIRST_USER_PASSWORD: 'Chosen-by-0perator',
  });
  const { child, output, ended } = up('--verbose');
  expect(
    await waitFor(async () => output().includes('Ctrl-C stops everything') || child.exitCode !== null, 60_000),
  ).toBe(true);
  expect(output()).toContain(`port ${port} is taken; the API uses`);
  expect(output()).toContain('first user: exists, CLI signed in');
  expect(output()).not.toContain('Chosen-by-0perator');
  expect(output()).toMatch(/^api {9}\| \{.*"API is listening"/m);
  const running = state();
  expect(running.units.map(({ name }) => name)).toEqual(['api', 'control', 'provisioner']);

  child.kill('SIGINT');
  const { code } = await ended;
  expect(code).toBe(0);
  expect(output().match(/stopping \w+/g)).toEqual(['stopping provisioner', 'stopping control', 'stopping api']);
  expect(await allGone(running)).toBe(true);
  expect(await isAlive(database.identity)).toBe(true);
}, 120_000);

test('a server that does not answer is named with its setting, and nothing stays behind', async () => {
  const { up, state, dataDir } = await clone({ CODER_PG_CONNECTION_URL: 'postgres://nobody@127.0.0.1:1/none' });
  const { code, output } = await up('--detach').ended;
  expect(code).toBe(1);
  expect(output).toContain('the PostgreSQL of CODER_PG_CONNECTION_URL does not answer');
  expect(output).toContain('fix: check the URL');
  expect(state()).toMatchObject({ phase: 'failed', units: [] });
  expect(existsSync(join(dataDir, 'up.lock'))).toBe(false);
}, 60_000);

test('a bad setting is one error that names it', async () => {
  const { code, output } = await (await clone({ CODER_HTTP_ADDRESS: 'nonsense' })).up().ended;
  expect(code).toBe(1);
  expect(output).toContain('CODER_HTTP_ADDRESS: must be host:port');
});

test('a state file of a process that is gone counts as not running', async () => {
  const { dataDir, up } = await clone();
  mkdirSync(dataDir, { recursive: true });
  const gone = { pid: process.pid, start: 'another process' };
  const stale = {
    format: 1,
    phase: 'ready',
    supervisor: gone,
    units: [{ name: 'api', identity: gone, restarts: 0 }],
    urls: null,
    error: null,
  };
  writeFileSync(join(dataDir, 'up.json'), JSON.stringify(stale));
  expect(JSON.parse((await up('--status', '--json').ended).output)).toEqual({
    running: false,
    phase: 'stopped',
    urls: null,
    units: [],
  });
  expect((await up('--stop').ended).code).toBe(0);
});

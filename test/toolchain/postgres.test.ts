import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { expect, onTestFinished, test } from 'vitest';
import { hydrateLinks, locatePostgres } from '../../toolchain/postgres-binaries.ts';
import { startPostgres } from '../../toolchain/postgres.ts';
import type { RunningPostgres } from '../../toolchain/postgres.ts';
import { isAlive, waitFor } from '../../toolchain/process.ts';
import type { ProcessIdentity } from '../../toolchain/process.ts';
import { createProgress, silentProgress } from '../../toolchain/progress.ts';
import { parsePasswd, unprivilegedAccount } from '../../toolchain/unix-account.ts';
import { temporaryDir } from './fixtures.ts';

const isRoot = process.getuid?.() === 0;

async function started(dir: string, progress = silentProgress, throwaway = true): Promise<RunningPostgres> {
  const server = await startPostgres({ dir, progress, throwaway });
  onTestFinished(() => server.stop());
  return server;
}
async function query<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

test('a second start on the same directory finds the data, the password and the port again', async () => {
  const dir = temporaryDir();
  const first = await started(dir);
  await query(first.url, (sql) => sql`create table kept as select 42 as answer`);
  await first.stop();
  const second = await started(dir);
  expect(second.url).toBe(first.url);
  expect(await query(second.url, (sql) => sql`select answer from kept`)).toMatchObject([{ answer: 42 }]);
});

test('the server runs without rights, listens on the loopback interface only and wants the password', async () => {
  const server = await started(temporaryDir());
  const [row] = await query(server.url, (sql) => sql`select current_setting('listen_addresses') as addresses`);
  expect(row).toEqual({ addresses: '127.0.0.1' });
  if (isRoot) expect(statSync(`/proc/${server.identity.pid}`).uid).not.toBe(0);
  const wrong = new URL(server.url);
  wrong.password = 'wrong';
  await expect(query(wrong.toString(), (sql) => sql`select 1`)).rejects.toThrow(/password authentication failed/);
});

test('committed rows survive a kill -9 of the server', async () => {
  const dir = temporaryDir();
  const first = await started(dir, silentProgress, false);
  await query(first.url, (sql) => sql`create table kept as select 1 as n`);
  process.kill(first.identity.pid, 'SIGKILL');
  await first.exited;
  const second = await started(dir);
  expect(await query(second.url, (sql) => sql`select n from kept`)).toMatchObject([{ n: 1 }]);
});

test('a pid file that names a process of somebody else does not stop the start', async () => {
  const dir = temporaryDir();
  const first = await started(dir);
  const pidFile = join(first.dataDir, 'postmaster.pid');
  const lines = readFileSync(pidFile, 'utf8').split('\n');
  process.kill(first.identity.pid, 'SIGKILL');
  await first.exited;
  // The number of the dead server was given to this very process.
  writeFileSync(pidFile, [String(process.pid), ...lines.slice(1)].join('\n'));
  const second = await started(dir);
  expect(await query(second.url, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
});

test('a server whose owner was killed is stopped and the directory taken over', async () => {
  const dir = temporaryDir();
  const owner = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL('./postgres-owner.ts', import.meta.url)), dir],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const server = await new Promise<ProcessIdentity>((resolve) => {
    owner.stdout.once('data', (line: Buffer) => resolve(JSON.parse(line.toString()) as ProcessIdentity));
  });
  await expect(startPostgres({ dir, progress: silentProgress })).rejects.toThrow(`belongs to process ${owner.pid}`);
  owner.kill('SIGKILL');
  await new Promise((resolve) => owner.once('exit', resolve));
  expect(await isAlive(server)).toBe(true);
  const next = await started(dir);
  expect(await isAlive(server)).toBe(false);
  expect(await query(next.url, (sql) => sql`select 1 as n`)).toMatchObject([{ n: 1 }]);
});

test('a taken port is replaced by a free one', async () => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => void blocker.close(() => resolve())));
  const { port } = blocker.address() as { port: number };
  const server = await startPostgres({
    dir: temporaryDir(),
    progress: silentProgress,
    preferredPort: port,
    throwaway: true,
  });
  onTestFinished(() => server.stop());
  expect(Number(new URL(server.url).port)).not.toBe(port);
});

test('a set-up that was cut in the middle starts from scratch', async () => {
  const dir = temporaryDir();
  mkdirSync(join(dir, 'data.new'));
  writeFileSync(join(dir, 'data.new', 'half'), 'made');
  const server = await started(dir);
  expect(existsSync(join(dir, 'data.new'))).toBe(false);
  expect(server.dataDir).toBe(join(dir, 'data'));
});

test('data of another major version is refused with the way out', async () => {
  const dir = temporaryDir();
  const server = await started(dir);
  await server.stop();
  writeFileSync(join(server.dataDir, 'PG_VERSION'), '15\n');
  await expect(startPostgres({ dir, progress: silentProgress })).rejects.toThrow(/written by PostgreSQL 15/);
});

test.runIf(isRoot)('as root, data and executables move out of a directory that the account may not enter', async () => {
  const closed = temporaryDir();
  chmodSync(closed, 0o700);
  const dir = join(closed, 'clone', '.berth', 'postgres');
  const output: string[] = [];
  const server = await started(dir, createProgress({ write: (text) => output.push(text), interactive: false }));
  onTestFinished(() => rmSync(server.dataDir, { recursive: true, force: true }));
  expect(server.dataDir.startsWith(closed)).toBe(false);
  expect(output.join('')).toContain(`the database is kept in ${server.dataDir}`);
  await server.stop();
  expect((await started(dir)).dataDir).toBe(server.dataDir);
});

test('links of the shared libraries are made when npm has not run the package script', () => {
  const copy = join(temporaryDir(), 'native');
  const native = locatePostgres();
  mkdirSync(join(copy, 'bin'), { recursive: true });
  mkdirSync(join(copy, 'lib'));
  cpSync(join(native, 'pg-symlinks.json'), join(copy, 'pg-symlinks.json'));
  const links = JSON.parse(readFileSync(join(copy, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source } of links) writeFileSync(join(copy, '..', source), 'library');
  // A dangling link of an interrupted install is replaced.
  symlinkSync('nowhere', join(copy, '..', links[0]?.target ?? ''));
  expect(hydrateLinks(copy)).toBe(true);
  for (const { target } of links) expect(readFileSync(join(copy, '..', target), 'utf8')).toBe('library');
});

test('the account is an existing one without rights, and nobody but root needs one', () => {
  const dir = temporaryDir();
  const passwd = join(dir, 'passwd');
  writeFileSync(passwd, 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n');
  expect(unprivilegedAccount(0, passwd)).toEqual({ name: 'nobody', uid: 65534, gid: 65533 });
  expect(unprivilegedAccount(1000, passwd)).toBeNull();
  writeFileSync(passwd, 'root:x:0:0::/root:/bin/sh\npostgres:x:0:0::/:/bin/false\n');
  expect(() => unprivilegedAccount(0, passwd)).toThrow(/refuses to run as root/);
  expect(parsePasswd('broken\n\n').size).toBe(0);
});

test('stopping ends the server and frees the directory for the next owner', async () => {
  const dir = temporaryDir();
  const server = await started(dir);
  await server.stop();
  await server.stop();
  expect(await waitFor(async () => !existsSync(join(dir, 'owner.lock')), 1_000)).toBe(true);
});

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { SetupFailure } from './failure.ts';
import { tryLock } from './lock.ts';
import { preparePostgresBinaries } from './postgres-binaries.ts';
import { initializeCluster, loadClusterSettings, superuser } from './postgres-cluster.ts';
import type { ClusterSettings } from './postgres-cluster.ts';
import { stopLeftover } from './postgres-leftover.ts';
import { freePort, waitFor } from './process.ts';
import type { Progress } from './progress.ts';
import { launch, logTail } from './running.ts';
import type { ExitInfo, RunningUnit } from './running.ts';
import { unprivilegedAccount } from './unix-account.ts';
import type { UnixAccount } from './unix-account.ts';

export interface PostgresOptions {
  /** Directory of this server: its data, password and port. Made when missing. */
  readonly dir: string;
  /** `postgres.log` in `dir` when absent. */
  readonly logFile?: string;
  readonly progress: Progress;
  readonly preferredPort?: number;
  /** Gives up durability for speed: only for data that lives as long as a test run. */
  readonly throwaway?: boolean;
  readonly database?: string;
}
export interface RunningPostgres extends RunningUnit {
  /** Superuser URL with password, on the loopback interface. */
  readonly url: string;
  readonly dataDir: string;
}

/**
 * A PostgreSQL of our own from npm: set up on first use, recovered after a kill -9, one owner at a time. As root it runs
 * under an account without rights. Throws SetupFailure. Source: design §4.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const { dir, progress, preferredPort = 0, throwaway = false, database = 'berth' } = options;
  const logFile = options.logFile ?? join(dir, 'postgres.log');
  mkdirSync(dir, { recursive: true });
  const attempt = await tryLock(join(dir, 'owner.lock'));
  if (attempt.kind === 'taken')
    throw new SetupFailure(
      `the PostgreSQL in ${dir} belongs to process ${attempt.by.pid}, which is running`,
      'stop that process (npm run up -- --stop), or set BERTH_DATA_DIR to another directory',
    );
  try {
    const account = unprivilegedAccount();
    const native = await preparePostgresBinaries(account, progress);
    const settings = await loadClusterSettings(dir, account, { preferredPort, progress });
    await initializeCluster(native, settings, account);
    if ((await stopLeftover(settings.dataDir)) === 'stopped')
      progress.note('a PostgreSQL that an earlier run left behind was stopped');
    const unit = await startServer({ native, settings, account, throwaway, logFile });
    await createDatabase(unit.url, database);
    void unit.exited.then(() => attempt.lock.release());
    return { ...unit, url: withDatabase(unit.url, database), dataDir: settings.dataDir };
  } catch (err) {
    attempt.lock.release();
    throw err;
  }
}

/** The same server, another database. */
export function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.toString();
}

interface ServerStart {
  readonly native: string;
  readonly settings: ClusterSettings;
  readonly account: UnixAccount | null;
  readonly throwaway: boolean;
  readonly logFile: string;
}

const serverSettings = (port: number, throwaway: boolean): string[] =>
  Object.entries({
    listen_addresses: '127.0.0.1',
    port: String(port),
    // A socket file's path has a limit of about 100 bytes, which a project directory easily exceeds.
    unix_socket_directories: '',
    max_connections: '200',
    shared_buffers: '128MB',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] %a ',
    ...(throwaway && { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', autovacuum_naptime: '10min' }),
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);

/** Starts the server and waits until it takes connections; another try when the port or the shared memory is still in use. */
async function startServer(start: ServerStart): Promise<RunningUnit & { url: string }> {
  const { native, settings, account, throwaway, logFile } = start;
  let port = settings.port;
  for (let attempt = 1; ; attempt += 1) {
    const unit = await launch({
      command: join(native, 'bin', 'postgres'),
      args: ['-D', settings.dataDir, ...serverSettings(port, throwaway)],
      env: { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/bin:/bin' },
      cwd: '/',
      logFile,
      // Fast shutdown: it does not wait for clients that never leave.
      stopSignal: 'SIGINT',
      stopGraceMs: 20_000,
      ...(account !== null && { uid: account.uid, gid: account.gid }),
    });
    const url = `postgres://${superuser}:${settings.password}@127.0.0.1:${port}/postgres`;
    const ended = await untilReady(url, unit);
    if (ended === null) return { ...unit, url };
    const tail = logTail(logFile);
    const again = /Address already in use|could not bind|pre-existing shared memory/i.test(tail) && attempt < 5;
    if (!again)
      throw new SetupFailure(
        `PostgreSQL ended while starting (exit ${ended.code ?? ended.signal}):\n    ${tail}`,
        `see ${logFile}; CODER_PG_CONNECTION_URL uses an existing server instead`,
      );
    if (!tail.includes('shared memory')) port = await freePort();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

/** Null once a session works; the exit when the server ended instead. */
async function untilReady(url: string, unit: RunningUnit): Promise<ExitInfo | null> {
  let ended: ExitInfo | null = null;
  void unit.exited.then((exit) => (ended = exit));
  const answered = await waitFor(async () => ended !== null || (await answers(url)), 60_000);
  if (ended === null && !answered) {
    await unit.stop();
    return { code: null, signal: null };
  }
  return ended;
}

/** Whether a server at `url` takes a session. Recovery after a crash refuses sessions for a while. */
export async function answers(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 3, onnotice: () => undefined });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function createDatabase(url: string, database: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    const [existing] = await sql`select 1 from pg_database where datname = ${database}`;
    if (existing === undefined) await sql`create database ${sql(database)}`;
  } finally {
    await sql.end({ timeout: 5 });
  }
}

import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { buildAgentBundle } from '../../agent/bundle.ts';
import { loadConfig, workerEnvironment } from '../../config.ts';
import { migrate } from '../../db/migrate.ts';
import { ensureFirstUser } from '../../scripts/stack/first-user.ts';
import { startPostgres } from '../../toolchain/postgres.ts';
import { freePort, run } from '../../toolchain/process.ts';
import { terminalProgress } from '../../toolchain/progress.ts';
import { startDriver } from './child.ts';
import { insertAgents } from './rows.ts';
import type { Settings } from './settings.ts';
import { type Side, createSide } from './side.ts';

const root = resolve(fileURLToPath(new URL('../..', import.meta.url)));

export interface Bed {
  readonly ours: Side;
  readonly bare: Side;
  readonly sql: postgres.Sql;
  readonly sessionToken: string;
  readonly postgresPid: number;
}

/**
 * A database with the agents' rows, our API as production runs it (compiled, one process) and the bare server, each with its
 * drivers. No Temporal: agent traffic does not touch it.
 */
export async function withBed(settings: Settings, work: (bed: Bed) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-agents-'));
  // PostgreSQL's account passes through.
  chmodSync(directory, 0o711);
  const database = await startPostgres({ dir: join(directory, 'postgres'), progress: terminalProgress(true) });
  const sql = postgres(database.url, { max: 1, onnotice: () => undefined });
  const sides: Side[] = [];
  try {
    await migrate(database.url);
    const port = await freePort();
    const env: NodeJS.ProcessEnv = {
      ...workerEnvironment(),
      CODER_PG_CONNECTION_URL: database.url,
      CODER_HTTP_ADDRESS: `127.0.0.1:${port}`,
      CODER_PROMETHEUS_ENABLE: 'false',
      // Limits are checked, as in production, but never reached: all watchers are one user here.
      CODER_API_RATE_LIMIT: '10000000',
      BERTH_DATA_DIR: join(directory, 'data'),
    };
    const drivers = () => ({
      agents: startDriver('./drive-agents.ts', env),
      watchers: startDriver('./drive-watchers.ts', env),
    });
    const entry = await compile(directory);
    const ours = await createSide(
      { name: 'ours', args: [entry], env, port, logFile: join(directory, 'api.log') },
      drivers(),
    );
    sides.push(ours);
    const { session } = await ensureFirstUser(loadConfig(env), ours.url);
    if (session === null) throw new Error('no session');
    await insertAgents(sql, { count: settings.agents, deadlineHours: settings.deadlineHours });
    const barePort = await freePort();
    const bareEntry = fileURLToPath(new URL('../bare/agents.mjs', import.meta.url));
    const bare = await createSide(
      { name: 'bare', args: [bareEntry, String(barePort)], env, port: barePort, logFile: join(directory, 'bare.log') },
      drivers(),
    );
    sides.push(bare);
    const postgresPid = Number(readFileSync(join(database.dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
    await work({ ours, bare, sql, sessionToken: session.token, postgresPid });
  } finally {
    await Promise.all(
      sides.flatMap(({ server, agents, watchers }) => [agents, watchers, server()].map((each) => each.end('SIGKILL'))),
    );
    await sql.end();
    await database.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The API as `npm run build` makes it, but beside the working tree: dist/ stays as it is. */
async function compile(directory: string): Promise<string> {
  console.error('compiling the API');
  const out = join(directory, 'dist');
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  await run(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', out], {
    cwd: root,
    env: workerEnvironment(),
  });
  cpSync(join(root, 'db', 'migrations'), join(out, 'db', 'migrations'), { recursive: true });
  writeFileSync(join(out, 'agent', 'agent.mjs'), await buildAgentBundle());
  cpSync(join(root, 'package.json'), join(directory, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  return join(out, 'api', 'server.js');
}

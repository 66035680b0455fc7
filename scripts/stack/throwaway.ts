import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, workerEnvironment } from '../../config.ts';
import { startPostgres } from '../../toolchain/postgres.ts';
import { terminalProgress } from '../../toolchain/progress.ts';
import { type ReadyStack, ensureStack, stopStack } from './ensure.ts';

/** A stack of its own in a temporary directory, as `npm run up` starts it, with these settings; gone afterwards. */
export async function withThrowawayStack(
  work: (stack: ReadyStack, postgresUrl: string) => Promise<void>,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-stack-'));
  chmodSync(dataDir, 0o711);
  // A server of our own, so that a baseline can speak to it: durable settings, as in production.
  const database = await startPostgres({ dir: join(dataDir, 'postgres'), progress: terminalProgress(true) });
  const env: NodeJS.ProcessEnv = {
    ...workerEnvironment(),
    BERTH_DATA_DIR: dataDir,
    CODER_PG_CONNECTION_URL: database.url,
    CODER_API_RATE_LIMIT: '-1',
    CODER_HTTP_ADDRESS: '127.0.0.1:3900',
    CI: '1',
    ...settings,
  };
  // Figures are on stdout; what the set-up says is progress.
  const stdout = console.log;
  console.log = console.error;
  try {
    const stack = await ensureStack(loadConfig(env), env);
    console.log = stdout;
    await work(stack, database.url);
  } finally {
    console.log = console.error;
    await stopStack(env);
    console.log = stdout;
    await database.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, workerEnvironment } from '../config.ts';
import { startPostgres } from '../toolchain/postgres.ts';
import { terminalProgress } from '../toolchain/progress.ts';
import { type ReadyStack, ensureStack, stopStack } from '../scripts/stack/ensure.ts';

/** A stack of its own in a temporary directory, as `npm run up` starts it; gone afterwards. */
export async function withStack(work: (stack: ReadyStack, postgresUrl: string) => Promise<void>): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-bench-'));
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

export interface Api {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  upload<T>(path: string, body: Uint8Array): Promise<T>;
}

/** The stack's API with the first user's session. Throws on any status that is not 2xx. */
export function apiOf(stack: ReadyStack): Api {
  const call = async <T>(
    method: string,
    path: string,
    body?: NonNullable<RequestInit['body']>,
    type?: string,
  ): Promise<T> => {
    const response = await fetch(`${stack.urls.api}/api/v2${path}`, {
      method,
      headers: { 'Coder-Session-Token': stack.session.token, ...(type !== undefined && { 'Content-Type': type }) },
      ...(body !== undefined && { body }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  return {
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, JSON.stringify(body), 'application/json'),
    upload: (path, body) => call('POST', path, body as NonNullable<RequestInit['body']>, 'application/x-tar'),
  };
}

/** An empty directory below `root` with the template's files. */
export function copyTemplate(root: string, name: string, source: string): string {
  const directory = join(root, name);
  mkdirSync(directory, { recursive: true });
  cpSync(source, directory, { recursive: true });
  return directory;
}

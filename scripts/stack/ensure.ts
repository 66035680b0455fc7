import { spawn } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../config.ts';
import { SetupFailure } from '../../toolchain/failure.ts';
import { ensureFirstUser } from './first-user.ts';
import type { CliSession } from './first-user.ts';
import { runningState } from './state.ts';
import type { StackUrls } from './state.ts';

export interface ReadyStack {
  readonly urls: StackUrls;
  readonly session: CliSession;
  /** Whether this call has started it; whoever started it may stop it with `stopStack`. */
  readonly startedHere: boolean;
}

const up = resolve(dirname(fileURLToPath(import.meta.url)), '..', 'up.ts');

/** `npm run up -- <flag>` with its output on ours. */
function runUp(flag: string, env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((done) => {
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), up, flag], {
      env,
      stdio: 'inherit',
    });
    child.once('error', () => done(1));
    child.once('exit', (code) => done(code ?? 1));
  });
}

/** The stack of this data directory: the running one, or a new one in the background, with visible progress. Throws SetupFailure. */
export async function ensureStack(config: Config, env: NodeJS.ProcessEnv): Promise<ReadyStack> {
  const before = await runningState(config.BERTH_DATA_DIR);
  if (before?.phase !== 'ready' && (await runUp('--detach', env)) !== 0)
    throw new SetupFailure('Berth did not start', 'see the lines above, then npm run up');
  const state = await runningState(config.BERTH_DATA_DIR);
  // A session that has run out is renewed here.
  const session = state?.urls == null ? null : (await ensureFirstUser(config, state.urls.api)).session;
  if (state?.urls == null || session === null)
    throw new SetupFailure('Berth runs, but there is no session for it', 'npm run berth -- login');
  return { urls: state.urls, session, startedHere: before === null };
}

export const stopStack = (env: NodeJS.ProcessEnv): Promise<number> => runUp('--stop', env);

import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { CliConfig } from '../config.ts';
import { CliError, exitCodes } from './errors.ts';

/** Where the server is and who we are there. */
export interface Session {
  readonly url: string;
  readonly token: string;
}

/**
 * BERTH_CONFIG_DIR, else the session that `npm run up` keeps in the project around the working directory, else the user's
 * own. Read and written in the same place, so that a login is never hidden by an older one.
 */
export function sessionPath(config: CliConfig, cwd: string): string {
  if (config.configDir !== undefined) return join(resolve(cwd, config.configDir), 'cli.json');
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const local = join(resolve(folder, config.dataDir), 'cli.json');
    if (existsSync(local)) return local;
    if (dirname(folder) === folder) break;
  }
  return join(config.userConfigHome, 'berth', 'cli.json');
}

/** Throws CliError when the file is there and cannot be used. */
export function readSession(path: string): Session | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const { url, token } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Session>;
    if (typeof url === 'string' && typeof token === 'string') return { url, token };
  } catch {
    // Said below: an unreadable file and one with other contents are the same to the user.
  }
  throw new CliError(`${path} is not a session file`, {
    exitCode: exitCodes.notSignedIn,
    next: `remove it and sign in again: berth login`,
  });
}

/** Private from its first byte, replaced as a whole. */
export function writeSession(path: string, session: Session): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(session, null, 2)}\n`, { mode: 0o600 });
  chmodSync(draft, 0o600);
  renameSync(draft, path);
}

export const removeSession = (path: string): void => rmSync(path, { force: true });

/**
 * The environment wins over the file. A stored token goes only to the server it was made for: with another address it is
 * left out, so that a wrong BERTH_URL cannot collect it.
 */
export function resolveSession(
  stored: Session | undefined,
  given: { readonly url: string | undefined; readonly token: string | undefined },
): { readonly url: string | undefined; readonly token: string | undefined } {
  const url = given.url ?? stored?.url;
  const sameServer = stored !== undefined && url !== undefined && trim(url) === trim(stored.url);
  return { url, token: given.token ?? (sameServer ? stored.token : undefined) };
}

const trim = (url: string): string => url.replace(/\/+$/, '').toLowerCase();

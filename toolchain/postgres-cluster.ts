import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SetupFailure } from './failure.ts';
import { writeAtomically } from './lock.ts';
import { freePort, run } from './process.ts';
import type { Progress } from './progress.ts';
import { canEnter } from './unix-account.ts';
import type { UnixAccount } from './unix-account.ts';

/** What has to stay the same from one start to the next. Kept in a file that only its owner may read. */
export interface ClusterSettings {
  readonly dataDir: string;
  readonly port: number;
  readonly password: string;
}

export const superuser = 'berth';
const supportedMajor = '18';

/** Settings of the cluster below `dir`, made on first use. The port is last time's while that is free. */
export async function loadClusterSettings(
  dir: string,
  account: UnixAccount | null,
  { preferredPort, progress }: { preferredPort: number; progress: Progress },
): Promise<ClusterSettings> {
  const file = join(dir, 'settings.json');
  const known = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as ClusterSettings) : null;
  const settings = {
    dataDir: known?.dataDir ?? (await chooseDataDir(dir, account, progress)),
    password: known?.password ?? randomBytes(18).toString('base64url'),
    port: await freePort(known?.port ?? preferredPort),
  };
  writeAtomically(file, `${JSON.stringify(settings, null, 2)}\n`, 0o600);
  return settings;
}

/** Below `dir`, or outside the project when the account may not get there (a clone below /root, mode 0700). */
async function chooseDataDir(dir: string, account: UnixAccount | null, progress: Progress): Promise<string> {
  if (account === null) return join(dir, 'data');
  // Passing through is enough: the data directory itself belongs to the account.
  chmodSync(dir, 0o711);
  if (await canEnter(dir, account)) return join(dir, 'data');
  const name = createHash('sha256').update(dir).digest('hex').slice(0, 12);
  for (const base of ['/var/lib/berth', tmpdir()]) {
    try {
      mkdirSync(base, { recursive: true, mode: 0o711 });
    } catch {
      continue;
    }
    if (!(await canEnter(base, account))) continue;
    const place = join(base, `postgres-${name}`);
    progress.note(`the account ${account.name} may not enter ${dir}: the database is kept in ${place}`);
    return place;
  }
  throw new SetupFailure(
    `the account ${account.name}, which has to run PostgreSQL, may enter neither ${dir} nor /var/lib/berth nor ${tmpdir()}`,
    `allow it with: chmod o+x ${dirname(dir)} (and the directories above), or set BERTH_DATA_DIR or CODER_PG_CONNECTION_URL`,
  );
}

/**
 * Runs initdb unless the cluster exists. It is made beside its place and renamed, so that a killed set-up leaves nothing
 * half made. Throws SetupFailure for data of another major version or another owner.
 */
export async function initializeCluster(
  native: string,
  { dataDir, password }: ClusterSettings,
  account: UnixAccount | null,
): Promise<void> {
  if (existsSync(join(dataDir, 'PG_VERSION'))) return checkCluster(dataDir, account);
  const draft = `${dataDir}.new`;
  const passwordFile = `${dataDir}.password`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (account !== null) for (const path of [draft, passwordFile]) chownSync(path, account.uid, account.gid);
  try {
    const args = [
      `--pgdata=${draft}`,
      `--username=${superuser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // The same order and case rules on every machine, whatever locales it has.
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--locale=C',
      '--no-sync',
      '--no-instructions',
    ];
    const result = await run(join(native, 'bin', 'initdb'), args, {
      env: { LC_ALL: 'C', TZ: 'UTC' },
      cwd: '/',
      ...(account !== null && { uid: account.uid, gid: account.gid }),
    });
    if (result.code !== 0)
      throw new SetupFailure(
        `initdb failed (exit ${result.code ?? result.signal}): ${(result.stderr || result.stdout).trim()}`,
        'see the message; CODER_PG_CONNECTION_URL uses an existing server instead',
      );
    renameSync(draft, dataDir);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}

function checkCluster(dataDir: string, account: UnixAccount | null): void {
  const major = readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim();
  if (major !== supportedMajor)
    throw new SetupFailure(
      `the data in ${dataDir} was written by PostgreSQL ${major}, this release brings ${supportedMajor}`,
      `dump it with the release that wrote it and load it again, or start afresh by removing ${dataDir}`,
    );
  const owner = statSync(dataDir).uid;
  const uid = account?.uid ?? process.getuid?.();
  if (uid !== undefined && owner !== uid)
    throw new SetupFailure(
      `the data in ${dataDir} belongs to user id ${owner}, PostgreSQL would run as ${uid}`,
      `run as the user who made it, or change its owner: chown -R ${uid} ${dataDir}`,
    );
}

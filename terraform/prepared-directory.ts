import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  copyFile,
  link,
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { withLock } from '../toolchain/lock.ts';
import { compareBytes } from '../domain/text-order.ts';

/**
 * Initialised directories of template versions: made once on a host, never changed, laid out into the working directory of
 * each build, so that no build runs `terraform init` (design §3). `<root>/<name>/tree` is the content, `manifest.json` beside
 * it lists it, and its time is that of the last use.
 */
export interface PreparedContent {
  /** Hashes of the template archive and of the module archive. */
  readonly archiveHash: string;
  readonly modulesHash: string | null;
  readonly lockFile: string;
  readonly terraformVersion: string;
  /** What decides where providers come from. */
  readonly cliConfig: string;
}

/** Same content, same name, on every host of the same platform. */
export const preparedName = (content: PreparedContent): string =>
  createHash('sha256')
    .update(JSON.stringify([formatVersion, process.platform, process.arch, content]))
    .digest('hex')
    .slice(0, 40);

type Entry =
  | { readonly kind: 'file'; readonly path: string; readonly size: number; readonly shared: boolean }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'directory'; readonly path: string };

const formatVersion = 1;
const manifestOf = (directory: string): string => join(directory, 'manifest.json');
/** Providers are large, executed and never written: builds share them. Everything else a template might change. */
const isShared = (path: string): boolean => path.startsWith('.terraform/providers/');

/** A prepared directory does not hold what its manifest says: it has to be made again. */
export class PreparedDamaged extends Error {
  override readonly name = 'PreparedDamaged';
}

const isMissing = (err: unknown): boolean => (err as NodeJS.ErrnoException).code === 'ENOENT';

/**
 * The prepared directory of this name; when it is missing `make` fills an empty one. One maker at a time over all processes of
 * the host; a maker that dies leaves nothing that anybody would use.
 */
export async function prepare(
  root: string,
  name: string,
  make: (tree: string) => Promise<void>,
  onWait?: () => void,
): Promise<string> {
  const directory = join(root, name);
  if (await touch(directory)) return directory;
  await mkdir(root, { recursive: true, mode: 0o700 });
  await withLock(
    join(root, `${name}.lock`),
    async () => {
      if (await touch(directory)) return;
      const draft = join(root, `draft-${randomUUID()}`);
      try {
        const tree = join(draft, 'tree');
        await mkdir(tree, { recursive: true, mode: 0o700 });
        await make(tree);
        await writeFile(manifestOf(draft), JSON.stringify(await listEntries(tree)), { mode: 0o600 });
        await rm(directory, { recursive: true, force: true });
        await rename(draft, directory);
      } finally {
        await rm(draft, { recursive: true, force: true });
      }
    },
    onWait,
  );
  return directory;
}

/** Marks a use. False when there is no such directory. */
async function touch(directory: string): Promise<boolean> {
  try {
    const now = new Date();
    await utimes(manifestOf(directory), now, now);
    return true;
  } catch (err) {
    if (isMissing(err)) return false;
    throw err;
  }
}

async function listEntries(tree: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  const walk = async (folder: string): Promise<void> => {
    const names = (await readdir(join(tree, folder))).toSorted(compareBytes);
    if (names.length === 0 && folder !== '') entries.push({ kind: 'directory', path: folder });
    for (const name of names) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const stats = await lstat(join(tree, path));
      if (stats.isDirectory()) await walk(path);
      else if (stats.isSymbolicLink()) entries.push({ kind: 'link', path, target: await readlink(join(tree, path)) });
      else if (stats.isFile()) entries.push({ kind: 'file', path, size: stats.size, shared: isShared(path) });
    }
  };
  await walk('');
  return entries;
}

/** Fills the empty directory `target`. Throws PreparedDamaged when something is missing or of another size. */
export async function layOut(directory: string, target: string): Promise<void> {
  const entries = JSON.parse(await readFile(manifestOf(directory), 'utf8').catch(damaged)) as Entry[];
  const folders = new Set(entries.map(({ kind, path }) => (kind === 'directory' ? path : dirname(path))));
  for (const folder of folders) await mkdir(join(target, folder), { recursive: true, mode: 0o700 });
  // Few at a time: a template of many files must not take all of the process's file handles.
  const queue = entries.filter(({ kind }) => kind !== 'directory').values();
  const worker = async (): Promise<void> => {
    for (const entry of queue) await place(join(directory, 'tree'), target, entry);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

async function place(tree: string, target: string, entry: Entry): Promise<void> {
  const [from, to] = [join(tree, entry.path), join(target, entry.path)];
  if (entry.kind === 'link') return symlink(entry.target, to);
  if (entry.kind === 'directory') return;
  try {
    if (entry.shared) await share(from, to);
    else await copyFile(from, to, constants.COPYFILE_FICLONE);
  } catch (err) {
    throw isMissing(err) ? new PreparedDamaged(`${entry.path} is missing`) : err;
  }
  const { size } = await stat(to);
  if (size !== entry.size) throw new PreparedDamaged(`${entry.path} has ${size} bytes instead of ${entry.size}`);
}

/** A hard link: it stays whole when the prepared directory is removed. */
async function share(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw err;
    await copyFile(from, to);
  }
}

const damaged = (err: unknown): never => {
  throw isMissing(err) ? new PreparedDamaged('the manifest is missing') : err;
};

/** Removes a directory so that nobody sees half of it. */
export async function discardPrepared(root: string, name: string): Promise<void> {
  const trash = join(root, `draft-${randomUUID()}`);
  await rename(join(root, name), trash).catch((err: unknown) => {
    if (!isMissing(err)) throw err;
  });
  await rm(trash, { recursive: true, force: true });
}

const draftAbandonedMs = 3_600_000;

/**
 * Removes what has not been used for `unusedMs` and all but the `keep` last used, and drafts of makers that died. Builds have
 * copies, so none is disturbed. Returns how many prepared directories went.
 */
export async function sweepPrepared(
  root: string,
  { now, unusedMs, keep }: { now: number; unusedMs: number; keep: number },
): Promise<number> {
  const used: { name: string; at: number }[] = [];
  for (const name of await readdir(root).catch(() => [])) {
    const path = join(root, name);
    const isDraft = name.startsWith('draft-');
    const stats = await stat(isDraft ? path : manifestOf(path)).catch(() => undefined);
    if (stats === undefined) continue;
    if (!isDraft) used.push({ name, at: stats.mtimeMs });
    else if (now - stats.mtimeMs > draftAbandonedMs) await rm(path, { recursive: true, force: true });
  }
  const old = used.toSorted((a, b) => b.at - a.at).filter(({ at }, index) => index >= keep || now - at > unusedMs);
  for (const { name } of old) await discardPrepared(root, name);
  return old.length;
}

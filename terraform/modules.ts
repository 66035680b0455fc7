import { lstat, readFile, readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { compareBytes } from '../domain/text-order.ts';
import type { TerraformModule } from '../domain/provisioned.ts';
import { blocksAt, parseObject, textAt } from './json.ts';

const manifestPath = '.terraform/modules/modules.json';
const modulesRoot = '.terraform/modules/';
/** A module that would cross it is left out; builds then download it (spec/02 §2.10). */
const maxBytes = 20 * 1024 * 1024;
const blockBytes = 512;

interface ManifestModule extends TerraformModule {
  readonly dir: string;
}

async function readManifest(workDir: string): Promise<{ bytes: Buffer; modules: ManifestModule[] } | null> {
  const bytes = await readFile(join(workDir, manifestPath)).catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return null;
    throw err;
  });
  const manifest = bytes === null ? null : parseObject(bytes);
  if (bytes === null || manifest === null) return null;
  const modules = blocksAt(manifest, 'Modules').map((module) => ({
    key: textAt(module, 'Key'),
    source: textAt(module, 'Source'),
    version: textAt(module, 'Version'),
    dir: textAt(module, 'Dir'),
  }));
  return { bytes, modules };
}

/** Modules that `terraform init` resolved, without the root, by key. */
export async function readModules(workDir: string): Promise<TerraformModule[]> {
  const manifest = await readManifest(workDir);
  return (manifest?.modules ?? [])
    .filter((module) => module.key !== '')
    .map(({ source, version, key }) => ({ source, version, key }))
    .toSorted((a, b) => compareBytes(a.key, b.key));
}

interface PackedFile {
  readonly path: string;
  readonly executable: boolean;
  /** null = a directory. */
  readonly content: Buffer | null;
}

/** Regular files and directories below `path`, sorted; links and `.git` left out. */
async function* walk(workDir: string, path: string): AsyncGenerator<PackedFile> {
  const stats = await lstat(join(workDir, path)).catch(() => null);
  if (stats?.isFile())
    yield { path, executable: (stats.mode & 0o111) !== 0, content: await readFile(join(workDir, path)) };
  if (!stats?.isDirectory()) return;
  yield { path: `${path}/`, executable: true, content: null };
  for (const name of (await readdir(join(workDir, path))).toSorted(compareBytes))
    if (name !== '.git') yield* walk(workDir, `${path}/${name}`);
}

const packedBytes = (file: PackedFile): number =>
  blockBytes + Math.ceil((file.content?.length ?? 0) / blockBytes) * blockBytes;

/**
 * Tar of the downloaded modules and their manifest, unpacked over the template's source by later builds so that module
 * versions are pinned. The same content gives the same bytes: sorted entries, no times, no names. null when nothing was
 * downloaded. `skipped` are the keys of modules that did not fit into 20 MiB. Source: spec/02 §2.10.
 */
export async function packModules(workDir: string): Promise<{ archive: Buffer | null; skipped: string[] }> {
  const manifest = await readManifest(workDir);
  const remote = (manifest?.modules ?? []).filter((module) => isDownloaded(module.dir));
  if (manifest === null || remote.length === 0) return { archive: null, skipped: [] };
  const files = new Map<string, PackedFile>();
  const skipped: string[] = [];
  let size = packedBytes({ path: manifestPath, executable: false, content: manifest.bytes });
  for (const { key, dir } of remote.toSorted((a, b) => compareBytes(a.key, b.key))) {
    const own: PackedFile[] = [];
    let ownSize = 0;
    for await (const file of walk(workDir, posix.normalize(dir))) {
      // A module inside another one's directory is packed once.
      if (files.has(file.path)) continue;
      own.push(file);
      ownSize += packedBytes(file);
      if (size + ownSize > maxBytes) break;
    }
    if (size + ownSize > maxBytes) {
      skipped.push(key);
      continue;
    }
    size += ownSize;
    for (const file of own) files.set(file.path, file);
  }
  if (files.size === 0) return { archive: null, skipped };
  files.set(manifestPath, { path: manifestPath, executable: false, content: manifest.bytes });
  return { archive: await packFiles([...files.values()]), skipped };
}

const isDownloaded = (dir: string): boolean =>
  dir.startsWith(modulesRoot) && posix.normalize(dir).startsWith(modulesRoot);

async function packFiles(files: readonly PackedFile[]): Promise<Buffer> {
  const writer = pack();
  const packed = buffer(writer);
  for (const { path, executable, content } of files.toSorted((a, b) => compareBytes(a.path, b.path))) {
    const header = { name: path, mode: executable ? 0o755 : 0o644, mtime: new Date(0), uid: 1000, gid: 1000 };
    if (content === null) writer.entry({ ...header, type: 'directory' });
    else writer.entry({ ...header, type: 'file', size: content.length }, content);
  }
  writer.finalize();
  return packed;
}

import { buffer } from 'node:stream/consumers';
import { chmod, copyFile, mkdir, open, symlink, unlink } from 'node:fs/promises';
import { constants } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Extract, extract, pack } from 'tar-stream';
import { ZipFile as ZipWriter } from 'yazl';
import { DomainError } from '../domain/errors.ts';
import { type ArchiveEntry, createEntryChecks, maxArchiveBytes, unreadable } from './archive-entries.ts';
import { readZip } from './zip.ts';

export { packModules } from './modules.ts';

type Entry = Extract extends AsyncIterable<infer Item> ? Item : never;

/** Entries of a tar with their content, each checked (archive-entries.ts). Throws DomainError INVALID_INPUT. */
async function* readTar(tar: Buffer): AsyncGenerator<{ entry: ArchiveEntry; content: Buffer }> {
  // tar-stream takes fewer bytes than one header for an empty archive.
  if (tar.length < 512) throw unreadable('it is no tar archive');
  if (tar.length > maxArchiveBytes) throw new DomainError('TOO_LARGE', 'The archive is larger than 100 MiB.');
  const check = createEntryChecks();
  const parser = extract();
  parser.end(tar);
  for await (const stream of readable(parser)) {
    const { header } = stream;
    const entry = check({
      name: header.name,
      type: header.type === 'contiguous-file' ? 'file' : (header.type ?? 'unknown entry'),
      size: header.size ?? 0,
      mode: header.mode ?? 0o644,
      linkname: header.linkname ?? '',
    });
    const content = entry === null ? drain(stream) : await contentOf(stream);
    if (entry !== null && content instanceof Buffer) yield { entry, content };
  }
}

const contentOf = (stream: Entry): Promise<Buffer> =>
  buffer(stream).catch((err: Error) => {
    throw unreadable(err.message);
  });

const drain = (stream: Entry): null => {
  stream.resume();
  return null;
};

/** Errors of the tar parser are errors of the archive; ours pass as they are. */
async function* readable(parser: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  try {
    yield* parser;
  } catch (err) {
    throw err instanceof DomainError ? err : unreadable((err as Error).message);
  }
}

/**
 * The tar that is stored for an upload. A tar is checked and kept byte for byte, a zip is converted.
 * Throws DomainError INVALID_INPUT (wrong type, unreadable, an entry that leaves the tree, a device, too large when
 * expanded) or TOO_LARGE. Source: spec/02 §2.2, spec/06 §5.
 */
export async function toTemplateTar(bytes: Buffer, mimeType: string): Promise<Buffer> {
  if (bytes.length > maxArchiveBytes) throw new DomainError('TOO_LARGE', 'The archive is larger than 100 MiB.');
  const type = mimeType.split(';')[0]?.trim().toLowerCase();
  switch (type) {
    case 'application/x-tar': {
      const entries = readTar(bytes);
      while (!(await entries.next()).done);
      return bytes;
    }
    case 'application/zip':
    case 'application/x-zip-compressed':
      return zipToTar(bytes);
    default:
      throw new DomainError('INVALID_INPUT', 'Templates are uploaded as application/x-tar or application/zip.');
  }
}

async function zipToTar(zip: Buffer): Promise<Buffer> {
  const check = createEntryChecks();
  const writer = pack();
  const packed = buffer(writer);
  try {
    for await (const { header, content } of readZip(zip)) {
      const entry = check(header);
      if (entry === null) continue;
      const mode = entry.type === 'directory' || entry.executable ? 0o755 : 0o644;
      const common = { name: entry.path, mode, mtime: new Date(0) };
      if (entry.type === 'file') writer.entry({ ...common, type: 'file' }, await content());
      else if (entry.type === 'directory') writer.entry({ ...common, type: 'directory' });
      else writer.entry({ ...common, type: 'symlink', linkname: entry.target });
    }
    writer.finalize();
  } catch (err) {
    writer.destroy();
    await packed.catch(() => undefined);
    throw err;
  }
  const tar = await packed;
  if (tar.length > maxArchiveBytes) throw unreadable('it is larger than 100 MiB when expanded');
  return tar;
}

/**
 * Unpacks into `dir`, which must be empty or hold only what an earlier call wrote. All checks run again: the tar comes
 * from the database. Modes are 0644 or 0755; a link is never followed while writing. `keep` may leave entries out.
 * Throws DomainError INVALID_INPUT.
 */
export async function extractTar(
  tar: Buffer,
  dir: string,
  keep: (path: string) => boolean = () => true,
): Promise<void> {
  try {
    await unpack(tar, dir, keep);
  } catch (err) {
    // What only shows on a file system: a case-insensitive clash, a path in the way.
    if (pathErrors.has((err as NodeJS.ErrnoException).code ?? '')) throw unreadable((err as Error).message);
    throw err;
  }
}

const pathErrors = new Set(['EEXIST', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENAMETOOLONG', 'EINVAL', 'ENOENT', 'EPERM']);

/**
 * `extractTar` for a template's source, without what a working directory left in the archive: a state, a lock or a
 * `.terraform` of the author would be taken for the workspace's own.
 */
export const extractTemplate = (tar: Buffer, dir: string): Promise<void> =>
  extractTar(tar, dir, (path) => !/^(\.terraform(\/.*)?|[^/]*\.tfstate(\.[^/]*)?)$/s.test(path));

async function unpack(tar: Buffer, dir: string, keep: (path: string) => boolean): Promise<void> {
  const links: ArchiveEntry[] = [];
  const made = new Set<string>();
  const makeDir = async (path: string): Promise<void> => {
    if (made.has(path)) return;
    await mkdir(join(dir, path), { recursive: true, mode: 0o755 });
    made.add(path);
  };
  for await (const { entry, content } of readTar(tar)) {
    if (!keep(entry.path)) continue;
    await makeDir(entry.type === 'directory' ? entry.path : dirname(entry.path));
    const path = join(dir, entry.path);
    if (entry.type === 'file') await writeFileNoFollow(path, content, entry.executable ? 0o755 : 0o644);
    else if (entry.type === 'link')
      await replace(path, () => copyFile(join(dir, entry.target), path, constants.COPYFILE_EXCL));
    else if (entry.type === 'symlink') links.push(entry);
  }
  // Links last: until then no path of this archive can lead through one.
  for (const { path, target } of links) await replace(join(dir, path), () => symlink(target, join(dir, path)));
}

/** Removes what an earlier call wrote at `path`, so that unpacking twice gives the same. */
async function replace(path: string, write: () => Promise<void>): Promise<void> {
  await unlink(path).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== 'ENOENT') throw err;
  });
  await write();
}

async function writeFileNoFollow(path: string, content: Buffer, mode: number): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const file = await open(path, flags, mode);
  try {
    await file.writeFile(content);
  } finally {
    await file.close();
  }
  // The process's umask must not decide what Terraform may execute.
  await chmod(path, mode);
}

/** The same content as a zip, for `GET /files/{id}?format=zip`. Throws DomainError INVALID_INPUT. */
export async function tarToZip(tar: Buffer): Promise<Buffer> {
  const zip = new ZipWriter();
  const files = new Map<string, Buffer>();
  const mtime = new Date(0);
  for await (const { entry, content } of readTar(tar)) {
    if (entry.type === 'directory') zip.addEmptyDirectory(`${entry.path}/`, { mtime, mode: 0o40755 });
    else if (entry.type === 'symlink') zip.addBuffer(Buffer.from(entry.target), entry.path, { mtime, mode: 0o120777 });
    else {
      const bytes = entry.type === 'link' ? (files.get(entry.target) ?? Buffer.alloc(0)) : content;
      files.set(entry.path, bytes);
      zip.addBuffer(bytes, entry.path, { mtime, mode: entry.executable ? 0o100755 : 0o100644 });
    }
  }
  zip.end();
  return buffer(zip.outputStream);
}

const isTemplateFile = (path: string): boolean =>
  !path.includes('/') &&
  (path === '.terraform.lock.hcl' ||
    (/\.tf(\.json)?$/.test(path) && !path.startsWith('.')) ||
    path.toLowerCase() === 'readme.md');

/** Texts of the root module's files that are read without Terraform: `*.tf`, `*.tf.json`, README.md, the lock file. */
export async function listTemplateFiles(tar: Buffer): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const { entry, content } of readTar(tar))
    if (entry.type === 'file' && isTemplateFile(entry.path)) files.set(entry.path, content.toString('utf8'));
  return files;
}

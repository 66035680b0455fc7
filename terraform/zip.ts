import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { type Entry, type ZipFile, fromBuffer } from 'yauzl';
import { DomainError } from '../domain/errors.ts';
import { maxArchiveBytes, unreadable } from './archive-entries.ts';

export interface ZipEntry {
  readonly header: { name: string; type: string; size: number; mode: number; linkname: string };
  /** Inflated bytes; refuses more than the header promised. */
  readonly content: () => Promise<Buffer>;
}

const openZip = promisify((bytes: Buffer, done: (err: Error | null, zip: ZipFile) => void) =>
  fromBuffer(bytes, { lazyEntries: true, validateEntrySizes: true, strictFileNames: false }, done),
);

/** Entries of a zip in directory order. Throws DomainError INVALID_INPUT when it cannot be read. */
export async function* readZip(bytes: Buffer): AsyncGenerator<ZipEntry> {
  const zip = await openZip(bytes).catch((err: Error) => {
    throw unreadable(err.message);
  });
  for (let entry = await nextEntry(zip); entry !== null; entry = await nextEntry(zip)) yield await describe(zip, entry);
}

function nextEntry(zip: ZipFile): Promise<Entry | null> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      zip.removeAllListeners();
      // A later error of a zip we are done with must not end the process.
      zip.on('error', () => undefined);
      finish();
    };
    zip.removeAllListeners();
    zip.once('entry', (entry: Entry) => settle(() => resolve(entry)));
    zip.once('end', () => settle(() => resolve(null)));
    zip.once('error', (err: Error) => settle(() => reject(unreadable(err.message))));
    zip.readEntry();
  });
}

/** Unix file type from the upper half of the external attributes. */
const unixType: ReadonlyMap<number, string> = new Map([
  [0o10, 'file'],
  [0o04, 'directory'],
  [0o12, 'symlink'],
  [0o02, 'character-device'],
  [0o06, 'block-device'],
  [0o01, 'fifo'],
  [0o14, 'socket'],
]);

async function describe(zip: ZipFile, entry: Entry): Promise<ZipEntry> {
  const name = entry.fileName;
  const mode = entry.externalFileAttributes >>> 16;
  const stored = unixType.get(mode >> 12);
  const type = name.endsWith('/') ? 'directory' : (stored ?? 'file');
  const content = () => inflate(zip, entry);
  // A link's content is its target: one that is not a path is cut by the checks.
  const linkname = type === 'symlink' && entry.uncompressedSize <= 1024 ? (await content()).toString('utf8') : '';
  const size = type === 'file' ? entry.uncompressedSize : 0;
  return { header: { name, type, size, mode, linkname }, content };
}

async function inflate(zip: ZipFile, entry: Entry): Promise<Buffer> {
  if (entry.isEncrypted()) throw unreadable(`entry ${JSON.stringify(entry.fileName)} is encrypted`);
  if (entry.uncompressedSize > maxArchiveBytes) throw unreadable('it is larger than 100 MiB when expanded');
  try {
    const stream = await new Promise<NodeJS.ReadableStream>((resolve, reject) => {
      zip.openReadStream(entry, (err, opened) => (err ? reject(err) : resolve(opened)));
    });
    // yauzl ends the stream with an error when it gives more or fewer bytes than the directory said.
    return await buffer(stream);
  } catch (err) {
    throw err instanceof DomainError ? err : unreadable(`${entry.fileName}: ${(err as Error).message}`);
  }
}

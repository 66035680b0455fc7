import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { openPromise } from 'yauzl';
import { SetupFailure } from './failure.ts';

export interface DownloadLimits {
  /** Closed networks are common: no answer within this time means "not reachable from here". */
  readonly connectMs: number;
  /** A transfer that stands still this long is given up. */
  readonly stallMs: number;
}
export const defaultLimits: DownloadLimits = { connectMs: 5_000, stallMs: 30_000 };

export interface DownloadOptions {
  readonly url: string;
  /** Text file of the publisher with lines `<sha256>  <file name>`. */
  readonly checksumsUrl: string;
  readonly into: string;
  readonly limits?: DownloadLimits;
  readonly onProgress?: (received: number, total: number | null) => void;
}

async function request(
  url: string,
  { connectMs, stallMs }: DownloadLimits,
): Promise<{ body: Readable; total: number | null }> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(new Error(`no answer within ${connectMs} ms`)), connectMs);
  try {
    const response = await fetch(url, { signal: abort.signal, redirect: 'follow' });
    if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
    clearTimeout(timer);
    const stalled = (): void => abort.abort(new Error(`no data for ${stallMs} ms`));
    timer = setTimeout(stalled, stallMs);
    const watch = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        clearTimeout(timer);
        timer = setTimeout(stalled, stallMs);
        done(null, chunk);
      },
      flush(done) {
        clearTimeout(timer);
        done();
      },
    });
    const source = Readable.from(response.body as AsyncIterable<Uint8Array>);
    source.once('error', (err) => watch.destroy(err));
    const length = Number(response.headers.get('content-length'));
    return { body: source.pipe(watch), total: Number.isFinite(length) && length > 0 ? length : null };
  } catch (err) {
    clearTimeout(timer);
    throw err;
  }
}

/** Whether an address answers at all within the limit; used before handing work to tools with patience of their own. */
export async function isReachable(url: string, connectMs = defaultLimits.connectMs): Promise<boolean> {
  try {
    const response = await fetch(url, { method: 'GET', signal: AbortSignal.timeout(connectMs) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** SHA-256 by file name from a publisher's checksum file. */
export function parseChecksums(text: string): ReadonlyMap<string, string> {
  const lines = text.split('\n').map((line) => /^([0-9a-f]{64})\s+\*?(\S+)$/i.exec(line.trim()));
  return new Map(lines.flatMap((match) => (match === null ? [] : [[match[2] ?? '', (match[1] ?? '').toLowerCase()]])));
}

/**
 * Downloads `url` into the file `into` and compares it with the publisher's checksum. Throws SetupFailure on a mismatch
 * (never worked around: it is an attack or a broken transfer), any other Error when the network does not give the file.
 */
export async function downloadVerified(options: DownloadOptions): Promise<void> {
  const { url, checksumsUrl, into, limits = defaultLimits, onProgress } = options;
  const listed = await request(checksumsUrl, limits);
  const chunks: Buffer[] = [];
  for await (const chunk of listed.body) chunks.push(chunk as Buffer);
  const name = basename(new URL(url).pathname);
  const expected = parseChecksums(Buffer.concat(chunks).toString('utf8')).get(name);
  if (expected === undefined) throw new Error(`the publisher lists no checksum for ${name}`);

  const { body, total } = await request(url, limits);
  const hash = createHash('sha256');
  let received = 0;
  mkdirSync(dirname(into), { recursive: true });
  await pipeline(
    body,
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        received += chunk.length;
        onProgress?.(received, total);
        done(null, chunk);
      },
    }),
    createWriteStream(into),
  );
  const actual = hash.digest('hex');
  if (actual !== expected)
    throw new SetupFailure(
      `${url} has SHA-256 ${actual}, its publisher says ${expected}: the file is refused`,
      'run the command again; when it stays like this, install the tool by other means and put it on PATH',
    );
}

/** Writes the one member `name` of a .zip or .tar.gz archive to `to`. Throws Error when the archive lacks it. */
export async function extractMember(archive: string, name: string, to: string): Promise<void> {
  mkdirSync(dirname(to), { recursive: true });
  const isZip = await startsWith(archive, 'PK');
  const found = isZip ? await extractFromZip(archive, name, to) : await extractFromTar(archive, name, to);
  if (!found) throw new Error(`${basename(archive)} holds no file called ${name}`);
}

async function startsWith(file: string, magic: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(magic.length), 0, magic.length, 0);
    return buffer.toString('latin1') === magic;
  } finally {
    await handle.close();
  }
}

async function extractFromTar(archive: string, name: string, to: string): Promise<boolean> {
  let found = false;
  const unpack = extract();
  const reading = pipeline(createReadStream(archive), createGunzip(), unpack);
  for await (const entry of unpack) {
    if (!found && entry.header.type === 'file' && basename(entry.header.name) === name) {
      found = true;
      await pipeline(entry, createWriteStream(to));
    } else entry.resume();
  }
  await reading;
  return found;
}

async function extractFromZip(archive: string, name: string, to: string): Promise<boolean> {
  const zip = await openPromise(archive, { lazyEntries: true });
  try {
    for await (const entry of zip.eachEntry()) {
      if (basename(entry.fileName) !== name) continue;
      await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(to));
      return true;
    }
    return false;
  } finally {
    zip.close();
  }
}

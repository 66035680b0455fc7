import { buffer } from 'node:stream/consumers';
import { type Header, pack } from 'tar-stream';
import { ZipFile } from 'yazl';

export type TarPart = Partial<Header> & Pick<Header, 'name'> & { readonly content?: string | Buffer };

/** A tar of exactly these entries, also such as no tool would write. */
export async function tarOf(...parts: readonly TarPart[]): Promise<Buffer> {
  const writer = pack();
  const packed = buffer(writer);
  for (const { content, ...header } of parts) {
    if ((header.type ?? 'file') === 'file') writer.entry(header, Buffer.from((content ?? '') as string));
    else writer.entry(header);
  }
  writer.finalize();
  return packed;
}

export interface ZipPart {
  readonly name: string;
  readonly content?: string | Buffer;
  /** Unix mode with file type. */
  readonly mode?: number;
}

export async function zipOf(...parts: readonly ZipPart[]): Promise<Buffer> {
  const zip = new ZipFile();
  for (const { name, content = '', mode = 0o100644 } of parts) {
    if (name.endsWith('/')) zip.addEmptyDirectory(name);
    else zip.addBuffer(Buffer.from(content as string), name, { mode, mtime: new Date(0) });
  }
  zip.end();
  return buffer(zip.outputStream);
}

/** Replaces a name inside an archive by another one of the same length: writers refuse to make bad names. */
export function renamed(archive: Buffer, from: string, to: string): Buffer {
  if (from.length !== to.length) throw new Error('names must have the same length');
  return Buffer.from(archive.toString('latin1').replaceAll(from, to), 'latin1');
}

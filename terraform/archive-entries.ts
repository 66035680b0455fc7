import { posix } from 'node:path';
import { DomainError } from '../domain/errors.ts';

/** Expanded size that an archive may have, headers counted, so that a million empty files are a bomb, too (spec/02 §2.2). */
export const maxArchiveBytes = 100 * 1024 * 1024;
const blockBytes = 512;

export type EntryType = 'file' | 'directory' | 'symlink' | 'link';

export interface ArchiveEntry {
  /** Relative, normalised, without trailing slash. */
  readonly path: string;
  readonly type: EntryType;
  readonly executable: boolean;
  readonly size: number;
  /** Target of a link: as stored for `symlink`, normalised from the root for `link`. */
  readonly target: string;
}

const refused = (name: string, why: string): DomainError =>
  new DomainError('INVALID_INPUT', `The archive cannot be used: entry ${JSON.stringify(name.slice(0, 200))} ${why}.`);

export const unreadable = (why: string): DomainError =>
  new DomainError('INVALID_INPUT', `The archive cannot be read: ${why}.`);

/** `./a//b/` → `a/b`, `.` → ``. Throws for whatever does not stay below the root or no file system takes. */
function cleanPath(name: string, shown: string): string {
  if (name.includes('\0')) throw refused(shown, 'has a NUL byte in its path');
  if (name.startsWith('/') || /^[a-zA-Z]:[\\/]/.test(name) || name.startsWith('\\'))
    throw refused(shown, 'has an absolute path');
  if (name.split(/[\\/]/).includes('..')) throw refused(shown, 'has ".." in its path');
  const path = posix.normalize(name).replace(/\/$/, '');
  if (Buffer.byteLength(path) > 1024 || path.split('/').some((part) => Buffer.byteLength(part) > 255))
    throw refused(shown, 'has a path that is too long');
  return path === '.' ? '' : path;
}

/**
 * Judges the entries of one archive in their order. Stateful because links change what a later path means: an entry may
 * not lie below a link, and a path may not change between directory, file and link. With these two rules a link's parent
 * is what it looks like, and a target whose `..` stand only at its beginning stays where it seems to lead.
 */
export function createEntryChecks() {
  const kinds = new Map<string, EntryType>();
  let total = 0;

  const claim = (path: string, type: EntryType, shown: string): void => {
    const known = kinds.get(path);
    if (known !== undefined && (known !== type || type === 'symlink'))
      throw refused(shown, `appears twice, as ${known} and as ${type}`);
    kinds.set(path, type);
  };
  const claimParents = (path: string, shown: string): void => {
    const parts = path.split('/');
    for (let i = 1; i < parts.length; i++) claim(parts.slice(0, i).join('/'), 'directory', shown);
  };

  /** Throws DomainError INVALID_INPUT naming the entry. null for the root directory itself. */
  return function check(raw: {
    name: string;
    type: string;
    size: number;
    mode: number;
    linkname: string;
  }): ArchiveEntry | null {
    const { name, type, size } = raw;
    if (type !== 'file' && type !== 'directory' && type !== 'symlink' && type !== 'link')
      throw refused(name, `is a ${type}; only files, directories and links inside the archive are taken`);
    if (!Number.isSafeInteger(size) || size < 0) throw refused(name, 'has a bad size');
    const path = cleanPath(name, name);
    total += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
    if (total > maxArchiveBytes) throw refused(name, 'makes it larger than 100 MiB when expanded');
    if (path === '') {
      if (type === 'directory') return null;
      throw refused(name, 'has an empty path');
    }
    claimParents(path, name);
    claim(path, type, name);
    const target = type === 'symlink' ? symlinkTarget(path, raw.linkname, name) : raw.linkname;
    if (type === 'link') {
      const linked = cleanPath(raw.linkname, name);
      if (kinds.get(linked) !== 'file' || linked === path)
        throw refused(name, 'links to no earlier file of the archive');
      kinds.set(path, 'file');
      return { path, type, executable: false, size: 0, target: linked };
    }
    return { path, type, executable: (raw.mode & 0o111) !== 0, size: type === 'file' ? size : 0, target };
  };
}

function symlinkTarget(path: string, target: string, shown: string): string {
  if (target === '' || target.includes('\0') || Buffer.byteLength(target) > 1024)
    throw refused(shown, 'is a link with a bad target');
  if (target.startsWith('/') || target.includes('\\')) throw refused(shown, 'links out of the archive');
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const ups = parts.findIndex((part) => part !== '..');
  const climbs = ups === -1 ? parts.length : ups;
  if (climbs > path.split('/').length - 1) throw refused(shown, 'links out of the archive');
  if (parts.slice(climbs).includes('..')) throw refused(shown, 'links out of the archive or through another link');
  return target;
}

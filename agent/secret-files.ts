import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { makeDirectories } from './directories.ts';
import { messageOf } from './log.ts';
import type { LogLevel } from './protocol.ts';
import type { SecretFile } from './secret-placement.ts';

const isInside = (path: string, directory: string): boolean => {
  const way = relative(directory, path);
  return way === '' || (!way.startsWith('..') && !isAbsolute(way));
};

/** Where a symbolic link leads, also one whose end does not exist yet. */
function linkTarget(path: string): string {
  let target = path;
  for (let hops = 0; hops < 40 && lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() === true; hops++)
    target = resolve(dirname(target), readlinkSync(target));
  return existsSync(dirname(target))
    ? join(realpathSync(dirname(target)), target.slice(dirname(target).length))
    : target;
}

/** The file that is really written; null when a link leads out of the home directory. */
function writablePath(path: string, home: string): string | null {
  const realHome = existsSync(home) ? realpathSync(home) : home;
  makeDirectories(dirname(path));
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    const target = linkTarget(path);
    return isInside(target, realHome) ? target : null;
  }
  // A linked directory below home may lead out of it just as well.
  if (isInside(path, home) && !isInside(realpathSync(dirname(path)), realHome)) return null;
  return path;
}

/** Readers see the old or the new content; an existing file keeps its mode and owner. */
function replaceFile(path: string, content: Buffer): void {
  const existing = lstatSync(path, { throwIfNoEntry: false });
  if (existing?.isDirectory() === true) throw new Error('there is a directory of that name');
  if (existing?.isFile() === true && readFileSync(path).equals(content)) return;
  const draft = join(dirname(path), `.${randomUUID()}.draft`);
  try {
    writeFileSync(draft, content, { mode: 0o600, flag: 'wx' });
    if (existing !== undefined) {
      chownIfAllowed(draft, existing);
      chmodSync(draft, existing.mode & 0o7777);
    }
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

function chownIfAllowed(path: string, { uid, gid }: { uid: number; gid: number }): void {
  try {
    chownSync(path, uid, gid);
  } catch {
    // Only root may give files away.
  }
}

/**
 * Writes the owner's file secrets. What cannot be written is told and does not keep the workspace from starting.
 * Source: spec/05 §3 "User secrets".
 */
export function writeSecretFiles(
  files: readonly SecretFile[],
  { home, note }: { readonly home: string; readonly note: (level: LogLevel, text: string) => void },
): void {
  for (const { path, content } of files) {
    try {
      const target = writablePath(path, home);
      if (target === null) note('warn', `the secret's file ${path} is a link out of the home directory: not written`);
      else replaceFile(target, content);
    } catch (err) {
      note('error', `the secret's file ${path} cannot be written: ${messageOf(err)}`);
    }
  }
}

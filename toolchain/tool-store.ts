import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** Where tools are kept: `tools` of this clone, `cache` shared by all clones of the user (absent = none). */
export interface ToolDirs {
  readonly tools: string;
  readonly cache?: string;
}

export type ToolSource = 'configured' | 'path' | 'tools' | 'cache' | 'download' | 'registry' | 'go';
export interface ResolvedTool {
  readonly path: string;
  readonly version: string;
  readonly source: ToolSource;
}

let drafts = 0;

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** All executables called `name` on a PATH text, in its order. */
export const findOnPath = (name: string, path: string): string[] =>
  path
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .filter(isExecutable);

/** Puts `from` at `to` as an executable, whole or not at all: hard link, or a copy across file systems. */
export function placeExecutable(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  const draft = `${to}.${process.pid}.${(drafts += 1)}`;
  try {
    try {
      linkSync(from, draft);
    } catch {
      copyFileSync(from, draft);
    }
    chmodSync(draft, 0o755);
    renameSync(draft, to);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The stored executable at `relative`, taken over from the user's cache when only that has it. */
export function findStored(dirs: ToolDirs, relative: string): { path: string; source: 'tools' | 'cache' } | null {
  const path = join(dirs.tools, relative);
  if (isExecutable(path)) return { path, source: 'tools' };
  if (dirs.cache === undefined || !isExecutable(join(dirs.cache, relative))) return null;
  placeExecutable(join(dirs.cache, relative), path);
  return { path, source: 'cache' };
}

/** Stores a fresh executable for this clone and, when possible, for the user's other clones. */
export function store(dirs: ToolDirs, relative: string, from: string): string {
  const path = join(dirs.tools, relative);
  placeExecutable(from, path);
  try {
    if (dirs.cache !== undefined) placeExecutable(path, join(dirs.cache, relative));
  } catch {
    // The cache only saves time: a read-only or full home directory must not fail the set-up.
  }
  return path;
}

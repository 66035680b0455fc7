import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory and its missing parents, each 0700. Not `mkdirSync` with `recursive`: that never returns for a path like
 * `/proc/x/y`, where making the parent fails with ENOENT although its own parent exists.
 */
export function makeDirectories(path: string): void {
  const missing: string[] = [];
  for (let each = path; !existsSync(each) && dirname(each) !== each; each = dirname(each)) missing.push(each);
  for (const each of missing.toReversed()) {
    try {
      mkdirSync(each, { mode: 0o700 });
    } catch (err) {
      // Another process made it just now.
      if (!existsSync(each)) throw err;
    }
  }
}

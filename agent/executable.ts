import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectories } from './directories.ts';

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/**
 * Writes a command that runs this agent into `binDir` and returns its path: `GIT_ASKPASS` takes one path without arguments,
 * and the agent is a script that needs Node and its flags in front.
 */
export function writeExecutable(binDir: string, command: readonly string[], platform: NodeJS.Platform): string {
  makeDirectories(binDir);
  const windows = platform === 'win32';
  const path = join(binDir, windows ? 'berth-agent.cmd' : 'berth-agent');
  const text = windows
    ? `@${command.map((word) => `"${word}"`).join(' ')} %*\r\n`
    : `#!/bin/sh\nexec ${command.map(quote).join(' ')} "$@"\n`;
  // Another agent of this user may be running it.
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o700 });
  chmodSync(draft, 0o700);
  renameSync(draft, path);
  return path;
}

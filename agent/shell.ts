import { accessSync, constants, existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';

type Env = Readonly<Record<string, string | undefined>>;

/** The user's login shell, as the system knows it; `/bin/sh` for users without one (`nologin`, containers). */
function loginShell(env: Env): string {
  let shell: string | null = null;
  try {
    shell = userInfo().shell;
  } catch {
    // A uid without an entry in the user database.
  }
  const usable = (path: string | null | undefined): path is string =>
    path != null && path !== '' && !/(nologin|false)$/.test(path) && existsSync(path);
  const fallback = env['SHELL'];
  return usable(shell) ? shell : usable(fallback) ? fallback : '/bin/sh';
}

/** First file of that name on `path` that may be executed; null when there is none. */
export function findOnPath(name: string, path: string): string | null {
  const names = process.platform === 'win32' ? [`${name}.exe`, `${name}.cmd`, name] : [name];
  for (const directory of path.split(delimiter))
    for (const each of names) {
      const file = join(directory, each);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // Not here.
      }
    }
  return null;
}

/** How a script without an interpreter of its own is run. Source: spec/05 §11 "Shell". */
export function shellCommand(script: string, env: Env): { readonly file: string; readonly args: readonly string[] } {
  if (process.platform !== 'win32') return { file: loginShell(env), args: ['-c', script] };
  const path = env['PATH'] ?? env['Path'] ?? '';
  const powershell = findOnPath('pwsh', path) ?? findOnPath('powershell', path);
  if (powershell !== null) return { file: powershell, args: ['-NoProfile', '-NonInteractive', '-Command', script] };
  return { file: env['ComSpec'] ?? 'cmd.exe', args: ['/d', '/s', '/c', script] };
}

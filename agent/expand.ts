import { isAbsolute, join } from 'node:path';

export type Environment = Readonly<Record<string, string>>;

/** `$NAME` and `${NAME}` from `env`; an unset one becomes empty, any other `$` stays. Source: spec/05 §3, §4. */
export const expandVariables = (text: string, env: Readonly<Record<string, string | undefined>>): string =>
  text.replace(
    /\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})/g,
    (_all, plain: string | undefined, braced: string | undefined) => env[plain ?? braced ?? ''] ?? '',
  );

/** A leading `~` that stands alone or before a slash. */
export const expandHome = (path: string, home: string): string =>
  path === '~' ? home : /^~[/\\]/.test(path) ? join(home, path.slice(2)) : path;

/**
 * A directory or file as a template names it: `~`, then variables of the agent's own environment, then relative to `base`
 * (home by default). Empty stays empty. Source: spec/05 §3 "Directory expansion".
 */
export function expandPath(
  path: string,
  {
    home,
    env,
    base = home,
  }: { home: string; env: Readonly<Record<string, string | undefined>>; base?: string | undefined },
): string {
  if (path === '') return '';
  const expanded = expandVariables(expandHome(path, home), env);
  return isAbsolute(expanded) ? expanded : join(base, expanded);
}

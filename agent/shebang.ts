export interface Interpreter {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * The interpreter that the first line names; null for a script without one, which the login shell reads. `env` is looked
 * through, so that the file need not be executable. Source: spec/05 §11.
 */
export function interpreterOf(script: string): Interpreter | null {
  const line = /^\s*#!([^\r\n]+)/.exec(script)?.[1]?.trim();
  if (line === undefined) return null;
  const [first = '', ...rest] = line.split(/\s+/);
  if (!/(^|\/)env$/.test(first)) return { file: first, args: rest };
  const [file, ...args] = rest[0] === '-S' ? rest.slice(1) : rest;
  return file === undefined ? null : { file, args };
}

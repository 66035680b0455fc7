/** The agent's own diagnostics: one short line each on stderr. Nobody passes it a token, a secret or a value of one. */
export interface Log {
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
}

export function createLog(write: (line: string) => void): Log {
  const line = (level: string) => (text: string) =>
    write(`${new Date().toISOString()} ${level} ${text.replace(/\s*[\r\n]+\s*/g, ' ').slice(0, 500)}\n`);
  return { info: line('info'), warn: line('warn') };
}

export const messageOf = (err: unknown): string => (err instanceof Error ? err.message : String(err));

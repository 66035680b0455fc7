import type { JobLogLine } from '../domain/provisioned.ts';

export type LogLevel = JobLogLine['level'];

/** Width of the column `output`, in code points (spec/02 §1.6). */
const maxLineLength = 1024;

/** Pieces of at most `max` code points; never splits one. An empty text gives one empty piece. */
export function splitLogLine(text: string, max = maxLineLength): string[] {
  const pieces: string[] = [];
  let start = 0;
  while (text.length - start > max) {
    let end = start;
    for (let count = 0; count < max && end < text.length; count++) end += isPair(text, end) ? 2 : 1;
    pieces.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length || pieces.length === 0) pieces.push(text.slice(start));
  return pieces;
}

const isPair = (text: string, at: number): boolean => (text.codePointAt(at) ?? 0) > 0xffff;

/** A level of Terraform's or a provider's logger; what it does not know is `info`. */
export function logLevelOf(level: unknown): LogLevel {
  switch (level) {
    case 'trace':
    case 'debug':
    case 'info':
    case 'warn':
    case 'error':
      return level;
    case 'warning':
      return 'warn';
    default:
      return 'info';
  }
}

/** Rows for one text: one per line of it, empty ones skipped (an empty output is a stage marker). */
export const logRows = (text: string, row: Omit<JobLogLine, 'output'>): JobLogLine[] =>
  text
    .replaceAll('\0', '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((output) => ({ ...row, output }));

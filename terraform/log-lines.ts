import type { JobLogLine } from '../domain/provisioned.ts';

export type LogLevel = JobLogLine['level'];

/** Width of the column `output`, in code points (spec/02 §1.6). */
const maxLineLength = 1024;

/** Pieces of at most `max` code points; never splits one. An empty text gives one empty piece. */
export function splitLogLine(text: string, max = maxLineLength): string[] {
  if (text.length <= max) return [text];
  const pieces: string[] = [];
  let start = 0;
  while (text.length - start > max) {
    let end = start;
    for (let count = 0; count < max && end < text.length; count++) end += isPair(text, end) ? 2 : 1;
    pieces.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length) pieces.push(text.slice(start));
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
export function logRows(text: string, row: Omit<JobLogLine, 'output'>): JobLogLine[] {
  const rows: JobLogLine[] = [];
  for (const line of text.includes('\n') ? text.split(/\r?\n/) : [text]) {
    const output = line.replaceAll('\0', '');
    if (output.trim() !== '') rows.push({ ...row, output });
  }
  return rows;
}

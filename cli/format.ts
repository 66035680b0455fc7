import { stripVTControlCharacters } from 'node:util';
import type { Colors } from './output.ts';

const width = (text: string): number => stripVTControlCharacters(text).length;

/** Columns padded to their widest cell; the last one is not. Never cut: other programs read it too. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], colors: Colors): string {
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => width(row[column] ?? ''))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === cells.length - 1 ? cell : cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - width(cell))),
      )
      .join('  ')
      .trimEnd();
  return [colors.bold(line(header)), ...rows.map(line)].join('\n');
}

/** `name  value` lines with aligned values. Rows without a value are left out. */
export function facts(rows: readonly (readonly [string, string | null | undefined])[], colors: Colors): string {
  const shown = rows.filter((row): row is readonly [string, string] => row[1] != null && row[1] !== '');
  const longest = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${colors.dim(name.padEnd(longest))}  ${value}`).join('\n');
}

/** `850 ms`, `2.4 s`, `3 m 12 s`, `2 h 5 m`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} m ${Math.round((ms % 60_000) / 1_000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const ago = (instant: string, now: Date): string => `${duration(now.getTime() - Date.parse(instant))} ago`;

/** One word of state in its colour. */
export function statusText(status: string, colors: Colors): string {
  switch (status) {
    case 'running':
    case 'succeeded':
    case 'connected':
      return colors.green(status);
    case 'failed':
    case 'disconnected':
    case 'timeout':
      return colors.red(status);
    case 'pending':
    case 'starting':
    case 'stopping':
    case 'deleting':
    case 'canceling':
    case 'connecting':
      return colors.yellow(status);
    default:
      return colors.dim(status);
  }
}

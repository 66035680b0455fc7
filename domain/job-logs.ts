import type { JobLogLine } from './provisioned.ts';

/** Total of `octet_length(output)` that one job may store (spec/02 §1.6). */
export const jobLogLimitBytes = 1_048_576;

export interface FittedLog {
  readonly kept: readonly JobLogLine[];
  readonly length: number;
  readonly overflowed: boolean;
}

const encoder = new TextEncoder();
const byteLength = (text: string): number => (/^[\0-\x7f]*$/.test(text) ? text.length : encoder.encode(text).length);

/**
 * Fills the log up to the last whole line that fits, then stops: one warn line says so (it does not count), every later
 * line is dropped. Never an error: a build is not failed by its log.
 */
export function fitLogLines(
  state: { readonly length: number; readonly overflowed: boolean },
  lines: readonly JobLogLine[],
): FittedLog {
  if (state.overflowed) return { kept: [], length: state.length, overflowed: true };
  const kept: JobLogLine[] = [];
  let length = state.length;
  for (const line of lines) {
    const bytes = byteLength(line.output);
    if (length + bytes > jobLogLimitBytes) {
      kept.push({
        ...line,
        source: 'provisioner_daemon',
        level: 'warn',
        output: 'The log has reached its limit of 1 MiB: later lines are not stored. The job itself goes on.',
      });
      return { kept, length, overflowed: true };
    }
    kept.push(line);
    length += bytes;
  }
  return { kept, length, overflowed: false };
}

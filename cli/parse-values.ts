import { parseDurationMs } from '../config.ts';
import { usageError } from './errors.ts';
import type { ParameterValue } from './types.ts';

/** Collects a repeatable `name=value` option; the value may contain further `=`. Throws CliError (usage). */
export function collectPairs(text: string, previous: readonly ParameterValue[] = []): ParameterValue[] {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`"${text}" is not name=value`, 'write it as name=value; quote values with spaces');
  const name = text.slice(0, at);
  if (previous.some((pair) => pair.name === name)) throw usageError(`"${name}" is given twice`);
  return [...previous, { name, value: text.slice(at + 1) }];
}

/** `8h`, `90m`, `1h30m`; a bare number would be milliseconds, which nobody means. Throws CliError (usage). */
export function parseDuration(text: string): number {
  if (text === '0') return 0;
  try {
    if (/^\d+$/.test(text)) throw new Error('it has no unit');
    return parseDurationMs(text.replaceAll(/(\d+(?:\.\d+)?)d/g, (_, days: string) => `${Number(days) * 24}h`));
  } catch {
    throw usageError(`"${text}" is not a duration`, 'write it like 8h, 90m or 1h30m');
  }
}

export function parseWhole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw usageError(`"${text}" is not a whole number`);
  return Number(text);
}

/**
 * `09:30`, `09:30 Mon-Fri`, `09:30 1-5 Europe/Berlin` as the schedule that the API takes; anything else, e.g.
 * `CRON_TZ=Europe/Berlin 30 9 * * 1-5`, goes to the server as it is, which is the judge.
 */
export function parseSchedule(text: string): string {
  const match = /^(\d{1,2}):(\d{2})(?:\s+([A-Za-z0-9,*-]+))?(?:\s+([A-Za-z_]+(?:\/[A-Za-z0-9_+/-]+)?))?$/.exec(
    text.trim(),
  );
  if (match === null) return text;
  const [, hour, minute, days = '*', zone = 'UTC'] = match;
  return `CRON_TZ=${zone} ${Number(minute)} ${Number(hour)} * * ${days}`;
}

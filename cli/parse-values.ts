import { parseDurationMs } from '../config.ts';
import { usageError } from './errors.ts';
import { machineZone } from './times.ts';
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

const day = '(?:[0-6]|sun|mon|tue|wed|thu|fri|sat)';
const daysPattern = new RegExp(`^(?:\\*|${day}(?:-${day})?(?:,${day}(?:-${day})?)*)$`, 'i');
const timePattern = /^(\d{1,2})(?::(\d{2}))?(am|pm)?$/i;

/**
 * `9:30AM`, `09:30 Mon-Fri`, `17:00 1-5 Europe/Berlin` as the schedule that the API takes, in the zone of this machine unless one
 * is given. A cron text, e.g. `CRON_TZ=Europe/Berlin 30 9 * * 1-5`, goes to the server as it is, which is the judge. Throws
 * CliError (usage).
 */
export function parseSchedule(text: string): string {
  const words = text.trim().split(/\s+/);
  if (words.length > 4 || words[0]!.startsWith('CRON_TZ=')) return text;
  const [time, ...rest] = words;
  const days = rest.filter((word) => daysPattern.test(word));
  const zones = rest.filter((word) => !daysPattern.test(word));
  const minuteOfDay = parseTimeOfDay(time!);
  if (minuteOfDay === undefined || days.length > 1 || zones.length > 1)
    throw usageError(
      `"${text}" is not a schedule`,
      'write a time, days and a time zone, e.g. 9:30AM Mon-Fri Europe/Berlin; days and zone may be left out',
    );
  const [zone = machineZone()] = zones;
  return `CRON_TZ=${zone} ${minuteOfDay % 60} ${Math.floor(minuteOfDay / 60)} * * ${days[0] ?? '*'}`;
}

/** `9:30AM`, `9am`, `17:30`; a bare number could be anything. */
function parseTimeOfDay(text: string): number | undefined {
  const [, hourText, minuteText, half] = timePattern.exec(text) ?? [];
  if (hourText === undefined || (minuteText === undefined && half === undefined)) return undefined;
  const [hour, minute] = [Number(hourText), Number(minuteText ?? 0)];
  if (minute > 59 || (half === undefined ? hour > 23 : hour < 1 || hour > 12)) return undefined;
  const shift = half === undefined ? 0 : (hour === 12 ? -12 : 0) + (half.toLowerCase() === 'pm' ? 12 : 0);
  return (hour + shift) * 60 + minute;
}

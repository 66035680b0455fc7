import { parseAutostartSchedule } from './autostart.ts';
import { invalidField } from './errors.ts';

const minuteMs = 60_000;
const longestTtlMs = 30 * 24 * 60 * minuteMs;

/**
 * Time to live of a workspace in ms, null = never stops by TTL. A given value is cut to whole minutes; the template's default
 * fills a missing one and overrides any where users may not choose. Throws INVALID_INPUT for `ttl_ms`. Source: spec/06 §8.1.
 */
export function workspaceTtl(
  requestedMs: number | null,
  template: { readonly defaultTtlMs: number; readonly allowUserAutostop: boolean },
): number | null {
  const requested = requestedMs === null || requestedMs === 0 ? null : checkTtl(requestedMs);
  const fallback = template.defaultTtlMs === 0 ? null : template.defaultTtlMs;
  return template.allowUserAutostop ? (requested ?? fallback) : fallback;
}

/** Cuts to whole minutes and checks 1 min ≤ ttl ≤ 30 d. */
export function checkTtl(ttlMs: number): number {
  const cut = Math.floor(ttlMs / minuteMs) * minuteMs;
  if (cut < minuteMs) throw invalidField('ttl_ms', 'must be at least one minute (60000)');
  if (cut > longestTtlMs) throw invalidField('ttl_ms', 'must be at most 30 days (2592000000)');
  return cut;
}

/**
 * An autostart schedule as it is stored. It names one time of day: a workspace that starts every few minutes could not be stopped.
 * Throws INVALID_INPUT for `schedule`. Source: spec/06 §8.1.
 */
export function checkAutostart(schedule: string): string {
  const { minutes, hours, text } = parseAutostartSchedule(schedule);
  if (minutes.length !== 1 || hours.length !== 1)
    throw invalidField('schedule', 'must name one time of day: minute and hour are single numbers');
  return text;
}

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nextOccurrence, parseAutostartSchedule } from '../../domain/autostart.ts';
import { requiredStop } from '../../domain/deadlines.ts';

/** Written by schedule-vectors.py with other libraries; the columns are explained there. */
const rows = readFileSync(new URL('schedule-vectors.tsv', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => line.split('\t'));
const ofKind = (kind: string) => rows.filter((row) => row[0] === kind);
const ofZone = (kind: string, zone: string) =>
  ofKind(kind)
    .filter((row) => row[1] === zone)
    .map((row) => row.slice(2));
const toDate = (seconds: number) => new Date(seconds * 1000);
const zones = [...new Set(rows.map(([, zone]) => zone!))];

describe('as another implementation computes it', () => {
  test('there is something to compare', () => {
    expect(ofKind('start').length).toBeGreaterThan(2_000);
    expect(ofKind('stop').length).toBeGreaterThan(1_000);
  });

  test.each(zones)('the starts in %s', (timezone) => {
    for (const [fields, allowed, after, minutes] of ofZone('start', timezone)) {
      const schedule = parseAutostartSchedule(`CRON_TZ=${timezone} ${fields}`);
      let time = Math.floor(Number(after) / 60);
      const expected =
        minutes === '-' ? [null] : minutes!.split(' ').map((each) => toDate((time += Number(each)) * 60));
      let from = toDate(Number(after));
      const found = expected.map(() => {
        const next = nextOccurrence(schedule, from, Number(allowed));
        from = next ?? from;
        return next;
      });
      expect({ fields, after, found }).toEqual({ fields, after, found: expected });
    }
  });

  test.each(zones)('the required stops in %s', (timezone) => {
    for (const row of ofZone('stop', timezone)) {
      const [hour, minute, daysOfWeek, weeks, now, stop] = row.map(Number) as [
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      const found = requiredStop({ daysOfWeek, weeks, quietHours: { timezone, hour, minute } }, toDate(now));
      expect({ row, found }).toEqual({ row, found: toDate(stop) });
    }
  });
});

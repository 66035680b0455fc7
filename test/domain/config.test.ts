import { describe, expect, test } from 'vitest';
import { loadConfig, quietHoursSettings } from '../../config.ts';

const prebuilds = 'CODER_WORKSPACE_PREBUILDS';

describe('the settings of prebuilds', () => {
  test('have the documented defaults', () => {
    expect(loadConfig({})).toMatchObject({
      CODER_PG_CONN_MAX_OPEN: 10,
      [`${prebuilds}_RECONCILIATION_INTERVAL`]: 60_000,
      [`${prebuilds}_RECONCILIATION_BACKOFF_INTERVAL`]: 60_000,
      [`${prebuilds}_RECONCILIATION_BACKOFF_LOOKBACK_PERIOD`]: 3_600_000,
      [`${prebuilds}_FAILURE_HARD_LIMIT`]: 3,
      [`${prebuilds}_FAILED_RETENTION`]: 0,
      [`${prebuilds}_MAX_CREATES_PER_CYCLE`]: 0,
    });
    expect(loadConfig({}).CODER_WORKSPACE_PREBUILDS_MAX_IN_FLIGHT).toBeUndefined();
  });

  test.each([
    ['15s', 15_000],
    ['2m', 120_000],
    ['0', 300_000],
    ['0s', 300_000],
    ['-1m', 300_000],
    // A schedule cannot tick more often.
    ['20ms', 1_000],
  ])('an interval of %s is %i ms', (text, ms) => {
    expect(loadConfig({ [`${prebuilds}_RECONCILIATION_INTERVAL`]: text })).toMatchObject({
      [`${prebuilds}_RECONCILIATION_INTERVAL`]: ms,
    });
  });

  test.each(['0', '7'])('%s builds in flight are taken as they are said', (text) => {
    expect(loadConfig({ [`${prebuilds}_MAX_IN_FLIGHT`]: text })).toMatchObject({
      [`${prebuilds}_MAX_IN_FLIGHT`]: Number(text),
    });
  });

  test.each([
    ['RECONCILIATION_INTERVAL', 'often'],
    ['RECONCILIATION_BACKOFF_INTERVAL', '-1m'],
    ['FAILURE_HARD_LIMIT', '-1'],
    ['MAX_IN_FLIGHT', '-1'],
    ['MAX_CREATES_PER_CYCLE', '1.5'],
  ])('%s=%s is refused by its name', (name, text) => {
    expect(() => loadConfig({ [`${prebuilds}_${name}`]: text })).toThrow(`${prebuilds}_${name}`);
  });
});

describe('quiet hours', () => {
  const name = 'CODER_QUIET_HOURS_DEFAULT_SCHEDULE';

  test('are at midnight UTC unless it is said otherwise, and users may have their own', () => {
    expect(quietHoursSettings(loadConfig({}))).toEqual({ defaultSchedule: 'CRON_TZ=UTC 0 0 * * *', allowCustom: true });
    const given = { [name]: 'CRON_TZ=Europe/Berlin 30 2 * * *', CODER_ALLOW_CUSTOM_QUIET_HOURS: 'false' };
    expect(quietHoursSettings(loadConfig(given))).toEqual({ defaultSchedule: given[name], allowCustom: false });
  });

  test.each([
    ['CRON_TZ=Mars/X 0 0 * * *', '"Mars/X" is not a known time zone'],
    ['0 0 * * 1', 'once a day'],
    ['midnight', 'a time zone, minute, hour'],
  ])('of %j stop the process and say why', (text, why) => {
    expect(() => loadConfig({ [name]: text })).toThrow(
      expect.objectContaining({ message: expect.stringMatching(name) }),
    );
    expect(() => loadConfig({ [name]: text })).toThrow(why);
  });
});

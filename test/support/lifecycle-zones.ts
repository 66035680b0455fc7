/** Daily starts in zones whose clocks change in every way there is; times that a clock skips or has twice are among them. */
export const dailyStarts = [
  ['UTC', '0 9 * * *'],
  ['Europe/Berlin', '30 2 * * *'],
  ['America/New_York', '30 1 * * *'],
  ['America/Santiago', '0 0 * * *'],
  ['Australia/Lord_Howe', '15 2 * * *'],
  ['Pacific/Auckland', '30 2 * * *'],
  ['Pacific/Chatham', '0 3 * * *'],
  ['Asia/Kolkata', '0 6 * * *'],
  ['America/St_Johns', '1 0 * * *'],
  ['Africa/Casablanca', '30 2 * * *'],
  ['Africa/Cairo', '30 0 * * *'],
  ['Asia/Kathmandu', '45 23 * * *'],
] as const;

/** Dates as a calendar in the zone shows them: `2028-02-29`. */
export function localDates(zone: string): (at: number | Date) => string {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone: zone });
  return (at) => format.format(at);
}

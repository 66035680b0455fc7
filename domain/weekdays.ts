/** Days of the week as clients name them; Monday = bit 0 of a stored bitmap. Source: spec/01 §2.1. */
export const weekdays = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;
export type Weekday = (typeof weekdays)[number];
export const everyDay = 127;

const isWeekday = (text: string): text is Weekday => (weekdays as readonly string[]).includes(text);

/** Bitmap of the days, or what is wrong with them: an unknown day, or one that is named twice. */
export function daysToBitmap(days: readonly string[]): { bitmap: number } | { problem: string } {
  let bitmap = 0;
  for (const day of days) {
    if (!isWeekday(day)) return { problem: `"${day}" is not a day of the week: use ${weekdays.join(', ')}` };
    const bit = 1 << weekdays.indexOf(day);
    if ((bitmap & bit) !== 0) return { problem: `"${day}" is given twice` };
    bitmap |= bit;
  }
  return { bitmap };
}

/** Days of a bitmap, Monday first. */
export const bitmapToDays = (bitmap: number): Weekday[] => weekdays.filter((_, bit) => (bitmap & (1 << bit)) !== 0);

/** Whether a bitmap has a day of the week that is counted from Sunday = 0, as cron and `Date` do. */
export const hasDay = (bitmap: number, dayOfWeek: number): boolean => (bitmap & (1 << ((dayOfWeek + 6) % 7))) !== 0;

/** One field of a cron expression: its bounds, and the names of its values from `from` on. */
export interface CronField {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** Where `*` and `a/step` end; absent = at `to`. */
  readonly last?: number;
  readonly names?: readonly string[];
}

export const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** Values of `*`, numbers or names in any case, ranges, steps and lists of these, in their order; null = not valid. */
export function parseCronField(text: string, field: CronField): Set<number> | null {
  const values = new Set<number>();
  for (const part of text.toLowerCase().split(',')) {
    const match = /^(\*|[a-z\d]+)(?:-([a-z\d]+))?(?:\/(\d+))?$/.exec(part);
    if (match === null || (match[1] === '*' && match[2] !== undefined)) return null;
    const step = match[3] === undefined ? 1 : Number(match[3]);
    const first = match[1] === '*' ? field.from : numberOf(match[1]!, field);
    const open = match[1] === '*' || match[3] !== undefined;
    const end = field.last ?? field.to;
    const last = match[2] !== undefined ? numberOf(match[2], field) : open ? end : first;
    if (first === null || last === null || first > last || step < 1) return null;
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

function numberOf(text: string, field: CronField): number | null {
  const named = field.names?.indexOf(text) ?? -1;
  const value = named >= 0 ? named + field.from : /^\d{1,2}$/.test(text) ? Number(text) : NaN;
  return value >= field.from && value <= field.to ? value : null;
}

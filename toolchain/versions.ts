/** First `major.minor.patch` in a text, null when there is none. A pre-release suffix is ignored. */
export function parseVersion(text: string): readonly [number, number, number] | null {
  const match = /(\d+)\.(\d+)\.(\d+)/.exec(text);
  return match === null ? null : [Number(match[1]), Number(match[2]), Number(match[3])];
}

/** Whether `version` is at least `minimum` and, when given, below `limit`. An unreadable version is outside every range. */
export function isWithin(version: string, minimum: string, limit?: string): boolean {
  const value = parseVersion(version);
  if (value === null) return false;
  const compare = (text: string): number => {
    const other = parseVersion(text) ?? [0, 0, 0];
    return value[0] - other[0] || value[1] - other[1] || value[2] - other[2];
  };
  return compare(minimum) >= 0 && (limit === undefined || compare(limit) < 0);
}

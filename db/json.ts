/**
 * JSON for a parameter of a statement. Half a surrogate pair, which JSON may say and PostgreSQL refuses, becomes the replacement
 * character, as the driver makes it of text.
 */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value);
  return text.includes('\\ud') ? JSON.stringify(value, wellFormed) : text;
}

const wellFormed = (_key: string, value: unknown): unknown =>
  typeof value === 'string' ? value.toWellFormed() : value;

/** Ids for a parameter that is cast to `uuid[]`: one statement whatever their number. */
export const toUuids = (ids: readonly string[]): string => `{${ids.join(',')}}`;

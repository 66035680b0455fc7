/**
 * Readers for parsed JSON whose shape nobody guarantees. They never throw and never change their input: what is missing or
 * of another type reads as the empty value. PostgreSQL text cannot hold NUL, so texts lose it here.
 */
export type JsonObject = Readonly<Record<string, unknown>>;

const none: JsonObject = Object.freeze({});

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const objectOf = (value: unknown): JsonObject => (isObject(value) ? value : none);
export const objectAt = (from: JsonObject, key: string): JsonObject => objectOf(from[key]);

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
export const listAt = (from: JsonObject, key: string): readonly unknown[] => listOf(from[key]);
/** Blocks arrive as arrays of objects. */
export const blocksAt = (from: JsonObject, key: string): readonly JsonObject[] => listAt(from, key).filter(isObject);
/** A block of which there is at most one. */
export const blockAt = (from: JsonObject, key: string): JsonObject | null => blocksAt(from, key)[0] ?? null;

export function textOf(value: unknown): string {
  if (typeof value === 'string') return value.replaceAll('\0', '');
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return '';
}
export const textAt = (from: JsonObject, key: string): string => textOf(from[key]);
export const textOrNullAt = (from: JsonObject, key: string): string | null => textAt(from, key) || null;
export const textsAt = (from: JsonObject, key: string): readonly string[] =>
  listAt(from, key).filter((item) => typeof item === 'string');

export const numberAt = (from: JsonObject, key: string, fallback = 0): number => {
  const value = from[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback;
};
export const flagAt = (from: JsonObject, key: string): boolean => from[key] === true;

/** A map of strings; other leaves become text. */
export const mapAt = (from: JsonObject, key: string): ReadonlyMap<string, string> =>
  new Map(Object.entries(objectAt(from, key)).map(([name, value]) => [name, textOf(value)]));

/** Parses a document that must be an object; null when it is torn or something else. */
export function parseObject(text: string | Uint8Array): JsonObject | null {
  try {
    const value: unknown = JSON.parse(typeof text === 'string' ? text : Buffer.from(text).toString('utf8'));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

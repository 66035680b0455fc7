/** `<id>-<secret>`: 10 and 22 characters of `[A-Za-z0-9]`. Source: spec/07 §3.2. */
export const TOKEN_ID_LENGTH = 10;
export const TOKEN_SECRET_LENGTH = 22;
const pattern = /^([A-Za-z0-9]{10})-([A-Za-z0-9]{22})$/;

/** The parts, or undefined for anything else, so that a malformed token costs no query. */
export function parseSessionToken(text: string): { id: string; secret: string } | undefined {
  const match = pattern.exec(text);
  return match?.[1] !== undefined && match[2] !== undefined ? { id: match[1], secret: match[2] } : undefined;
}

const hourMs = 3_600_000;

/** When the expiry slides on use: more than one hour of the lifetime is gone. New instant or undefined. */
export function slidingExpiry(key: { expiresAt: Date; lifetimeSeconds: number }, now: Date): Date | undefined {
  const lifetimeMs = key.lifetimeSeconds * 1000;
  const remainingMs = key.expiresAt.getTime() - now.getTime();
  return remainingMs < lifetimeMs - hourMs ? new Date(now.getTime() + lifetimeMs) : undefined;
}

/** `last_used` and `last_seen_at` are written at most once per hour (spec/01 §1.4). */
export const isTouchDue = (last: Date | null, now: Date): boolean =>
  last === null || now.getTime() - last.getTime() >= hourMs;

import { customType, timestamp } from 'drizzle-orm/pg-core';

/** Raw bytes. postgres.js speaks Buffer in both directions. */
export const bytea = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'bytea' });

export const inet = customType<{ data: string }>({ dataType: () => 'inet' });

/** `timestamptz` with microseconds; `Date` in code (spec/01 §0). */
export const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 6, mode: 'date' });

import { z } from '@hono/zod-openapi';
import { isUuid } from '../domain/ids.ts';

/** Query parameters that several job and worker lists share. Source: spec/06 §11. */

/** Comma list of words of a closed set; empty = not given. */
export const commaListOf = <const T extends string>(allowed: readonly T[]) =>
  z
    .string()
    .transform((text, ctx): T[] | undefined => {
      const words = text.split(',').map((word) => word.trim());
      const unknown = words.find((word) => word !== '' && !(allowed as readonly string[]).includes(word));
      if (unknown !== undefined)
        ctx.addIssue({ code: 'custom', message: `"${unknown}" is not one of: ${allowed.join(', ')}` });
      const known = allowed.filter((word) => words.includes(word));
      return known.length === 0 ? undefined : known;
    })
    .optional()
    .openapi({ type: 'string' });

/** Comma list of uuids; empty = not given. */
export const commaUuids = () =>
  z
    .string()
    .max(40_000)
    .transform((text, ctx): string[] | undefined => {
      const ids = text.split(',').filter((id) => id !== '');
      const bad = ids.find((id) => !isUuid(id));
      if (bad !== undefined) ctx.addIssue({ code: 'custom', message: `"${bad}" is not a uuid` });
      return ids.length === 0 ? undefined : ids.map((id) => id.toLowerCase());
    })
    .optional()
    .openapi({ type: 'string' });

const tagMap = z.record(z.string(), z.string());

/** JSON object of texts; empty = not given. */
export const tagFilter = () =>
  z
    .string()
    .max(10_000)
    .transform((text, ctx): Record<string, string> | undefined => {
      if (text === '') return undefined;
      try {
        const parsed = tagMap.safeParse(JSON.parse(text));
        if (parsed.success && !text.includes('\\u0000')) return parsed.data;
      } catch {
        // Said below: to the client it is all one.
      }
      ctx.addIssue({ code: 'custom', message: 'must be a JSON object of texts' });
      return undefined;
    })
    .optional()
    .openapi({ type: 'string' });

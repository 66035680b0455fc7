import { z } from '@hono/zod-openapi';
import { type TextLimit, textProblem } from '../domain/agent-limits.ts';
import { isUuid } from '../domain/ids.ts';

/** Wire forms shared by all routes. Source: spec/06 §1. */

/** A uuid in a path or body: any case in, lower case out. Anything else → 400 naming the field. */
export const uuid = () =>
  z
    .string()
    .refine(isUuid, { message: 'must be a uuid' })
    .transform((text) => text.toLowerCase())
    .openapi({ type: 'string', format: 'uuid' });

/** A text that a column of ours takes: within the limit (domain/agent-limits.ts), without NUL. */
export const limitedText = (limit: TextLimit) =>
  z
    .string()
    .superRefine((text, ctx) => {
      const message = text.includes('\0') ? 'must not contain a NUL' : textProblem(limit, text);
      if (message !== undefined) ctx.addIssue({ code: 'custom', message });
    })
    .openapi({ maxLength: limit.max });

export const timestamp = () => z.string().openapi({ format: 'date-time' });

/** RFC 3339 UTC; an unset instant that clients expect to be present is the year 1. */
export const toWireTime = (instant: Date | null): string => instant?.toISOString() ?? '0001-01-01T00:00:00Z';
export const toWireTimeOrNull = (instant: Date | null): string | null => instant?.toISOString() ?? null;

/** Whole number from a query string, at least `min`. */
export const queryInteger = (min: number, max: number) =>
  z
    .string()
    .regex(/^-?\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= min, { message: `must be at least ${min}` })
    .refine((value) => value <= max, { message: `must be at most ${max}` })
    .openapi({ type: 'integer', minimum: min, maximum: max });

const trueTexts = ['true', '1', 't'];
const falseTexts = ['false', '0', 'f'];
const booleanOf = (accepted: readonly string[]) =>
  z
    .enum(accepted)
    .transform((text) => !falseTexts.includes(text))
    .openapi({ type: 'boolean' });
export const queryBoolean = () => booleanOf([...trueTexts, ...falseTexts]);
/** A boolean whose bare name means true: `?follow`. */
export const queryFlag = () => booleanOf([...trueTexts, ...falseTexts, '']);

/**
 * `limit`, `offset`, `after_id`: 0 or absent limit means the default, a larger one is cut to the maximum; `offset` and
 * `after_id` exclude each other. Parse with `page()` of the result.
 */
export const pageQuery = (limits: { default: number; maximum: number }) => ({
  limit: queryInteger(0, 2_147_483_647)
    .transform((value) => (value === 0 ? limits.default : Math.min(value, limits.maximum)))
    .default(limits.default)
    .openapi({ type: 'integer', minimum: 0, description: `0 = ${limits.default}; at most ${limits.maximum}` }),
  offset: queryInteger(0, 2_147_483_647).optional(),
  after_id: uuid().optional(),
});

/** Adds the rule that `offset` and `after_id` cannot come together. */
export const paged = <T extends z.ZodObject>(schema: T) =>
  schema.refine((query) => !(query['offset'] !== undefined && query['after_id'] !== undefined), {
    message: 'offset and after_id exclude each other',
    path: ['after_id'],
  });

/** `{user}`: uuid, username or `me`. Resolve with `getUserByRef`. */
export const userRef = () =>
  z.string().min(1).max(64).openapi({ description: 'uuid, username or `me`', example: 'me' });
/** `{organization}`: uuid, name or `default`. Resolve with `getOrganizationByRef`. */
export const organizationRef = () =>
  z.string().min(1).max(64).openapi({ description: 'uuid, name or `default`', example: 'default' });

/** A JSON body that must be there. */
export const jsonBody = <T extends z.ZodType>(schema: T) => ({
  body: { required: true, content: { 'application/json': { schema } } } as const,
});

/** A JSON response. */
export const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema } } as const,
});

export const MessageResponse = z.object({ message: z.string() }).openapi('MessageResponse');

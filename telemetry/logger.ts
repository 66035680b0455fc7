import { pino, stdTimeFunctions } from 'pino';
import type { DestinationStream, Logger } from 'pino';

export type { Logger } from 'pino';

const secretKey = /(secret|token|password|passwd|authorization|cookie|private_?key|state|value)$/i;
const redacted = '[redacted]';

/** Copies a log object with the values of secret-looking keys masked, at any depth up to 8. Source: spec/08 §2. */
export function redact(value: unknown, depth = 0): unknown {
  if (value === null || typeof value !== 'object' || value instanceof Date) return value;
  if (value instanceof Error) return describeError(value);
  if (depth > 8) return redacted;
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      secretKey.test(key) && item !== undefined && item !== null && item !== '' ? redacted : redact(item, depth + 1),
    ]),
  );
}

/** A failed query carries the values of its parameters in its message; they may be secrets, so they go. */
const withoutParameters = (text: string | undefined) => text?.replace(/\nparams:[\s\S]*?(?=\n {4}at |$)/, '');

/** `err` in log lines: type, message and stack, with the causes' messages. */
export function describeError(err: unknown): Record<string, unknown> {
  if (!(err instanceof Error)) return { type: typeof err, message: String(err) };
  return {
    type: err.name,
    message: withoutParameters(err.message),
    stack: withoutParameters(err.stack),
    ...(err.cause !== undefined && { cause: describeError(err.cause) }),
  };
}

/**
 * One JSON object per line on stdout: `ts`, `level`, `msg`, `component` and correlation ids in snake_case
 * (`request_id`, `build_id`, …). Use `logger.child({ build_id })` so that every later line carries the id.
 */
export function createLogger(options: { level: string; component: string }, destination?: DestinationStream): Logger {
  const settings = {
    level: options.level,
    base: { component: options.component },
    messageKey: 'msg',
    timestamp: () => stdTimeFunctions.isoTime().replace('"time"', '"ts"'),
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (entry: Record<string, unknown>) => redact(entry) as Record<string, unknown>,
    },
    // The formatter above describes errors already.
    serializers: { err: (err: unknown) => err },
  };
  return destination === undefined ? pino(settings) : pino(settings, destination);
}

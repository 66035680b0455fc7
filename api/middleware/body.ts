import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { DomainError } from '../../domain/errors.ts';
import type { ApiEnv } from '../context.ts';

const maxDepth = 64;
const jsonType = /^application\/([\w.-]+\+)?json\s*(;|$)/i;

/** Depth of nesting of a JSON text without parsing it: a deep body must not reach a recursive parser or schema. */
export function jsonDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (inString) {
      if (char === '\\') i += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (char === '}' || char === ']') depth -= 1;
  }
  return deepest;
}

/** It came through Node's server, not as an object in this process. */
const isServed = (c: Context<ApiEnv>): boolean => (c.env as ApiEnv['Bindings'] | undefined)?.incoming !== undefined;

/** Body size (413) and, for JSON routes, syntax and nesting (400). Source: spec/06 §1, spec/07 §7. */
export function limitBody(maxSize: number, options: { json: boolean }): MiddlewareHandler<ApiEnv> {
  const tooLarge = () => new DomainError('TOO_LARGE', `The request body is larger than ${maxSize} bytes`);
  const limit = bodyLimit({
    maxSize,
    onError: () => {
      throw tooLarge();
    },
  });
  const checkJson = async (c: Context<ApiEnv>) => {
    // Hono keeps the text, so the validator parses it again without reading twice.
    const text = await c.req.text();
    if (jsonDepth(text) > maxDepth)
      throw new DomainError('INVALID_INPUT', `The body is nested deeper than ${maxDepth} levels`);
    // Clients of the reference may leave the type out, or send curl's default: what counts is the text.
    if (text !== '' && !jsonType.test(c.req.header('Content-Type') ?? '')) {
      const headers = new Headers(c.req.raw.headers);
      headers.set('Content-Type', 'application/json');
      c.req.raw = new Request(c.req.url, { method: c.req.method, headers, body: text });
      c.req.bodyCache = {};
    }
  };
  return async (c, next) => {
    const length = c.req.header('Content-Length');
    // Node holds a client to the length it announced, so the number decides; counting a stream costs ten times as much.
    if (length !== undefined && isServed(c)) {
      if (Number(length) > maxSize) throw tooLarge();
      if (options.json && length !== '0') await checkJson(c);
      return next();
    }
    if (isServed(c) && c.req.header('Transfer-Encoding') === undefined) return next();
    return limit(c, async () => {
      if (options.json && c.req.raw.body !== null) await checkJson(c);
      await next();
    });
  };
}

import type { MiddlewareHandler } from 'hono';
import { DomainError } from '../../domain/errors.ts';
import type { ApiEnv } from '../context.ts';

/** No answer takes longer; what the handler still does ends by the statement timeout of the database. */
const limitMs = 30_000;

export const limitTime: MiddlewareHandler<ApiEnv> = async (_c, next) => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DomainError('UNAVAILABLE', 'The request took too long, try again')), limitMs);
  });
  try {
    await Promise.race([next(), late]);
  } finally {
    clearTimeout(timer);
  }
};

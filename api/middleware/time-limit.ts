import type { MiddlewareHandler } from 'hono';
import { DomainError } from '../../domain/errors.ts';
import type { ApiEnv } from '../context.ts';

/** `upload` waits for the body as long as Node's own server does (100 MiB take their time on a slow line). */
const limitsMs = { api: 30_000, upload: 300_000 } as const;

/** No answer takes longer; what the handler still does ends by the statement timeout of the database. */
export const limitTime =
  (kind: keyof typeof limitsMs): MiddlewareHandler<ApiEnv> =>
  async (_c, next) => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new DomainError('UNAVAILABLE', 'The request took too long, try again')),
        limitsMs[kind],
      );
    });
    try {
      await Promise.race([next(), late]);
    } finally {
      clearTimeout(timer);
    }
  };

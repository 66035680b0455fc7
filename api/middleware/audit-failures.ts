import type { MiddlewareHandler } from 'hono';
import { insertAudit } from '../../db/queries/audit-logs.ts';
import { NIL_UUID, isUuid } from '../../domain/ids.ts';
import type { ApiEnv } from '../context.ts';
import type { AuditedFailure } from '../route.ts';

/** Refusals that say something about authority or state; malformed input and rate limits do not. */
const audited = new Set([403, 404, 405, 409, 410, 412, 417]);

/**
 * Writes the row of a failed attempt, outside the command's transaction and with an empty diff (spec/07 §11). Success
 * rows are written by the commands themselves, in the transaction of the change.
 */
export const auditFailures =
  (options: AuditedFailure): MiddlewareHandler<ApiEnv> =>
  async (c, next) => {
    await next();
    const status = c.res.status;
    if (!audited.has(status) && status < 500) return;
    const target = options.param === undefined ? '' : (c.req.param(options.param) ?? '');
    try {
      await insertAudit(c.var.deps.db, {
        origin: c.var.origin,
        time: c.var.deps.now(),
        resourceType: options.resourceType,
        resourceId: isUuid(target) ? target : NIL_UUID,
        resourceTarget: target,
        action: options.action,
        statusCode: status,
      });
    } catch (err) {
      // The answer stands whether or not the row could be written.
      c.var.logger.error({ err }, 'audit row of a failed request was not written');
    }
  };

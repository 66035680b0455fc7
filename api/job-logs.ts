import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { jobLogsChannel } from '../db/notifications.ts';
import { type JobLogRow, listJobLogs, readJobLog } from '../db/queries/job-logs.ts';
import { DomainError, invalidField } from '../domain/errors.ts';
import type { ApiEnv } from './context.ts';
import { queryFlag, queryInteger, timestamp } from './schemas.ts';
import { streamSse, streamWebSocket, wantsWebSocket } from './streams.ts';

export const JobLog = z
  .object({
    id: z.number().int(),
    created_at: timestamp(),
    log_source: z.enum(['provisioner', 'provisioner_daemon']),
    log_level: z.enum(['trace', 'debug', 'info', 'warn', 'error']),
    stage: z.string(),
    output: z.string(),
  })
  .openapi('ProvisionerJobLog');
type JobLogBody = z.infer<typeof JobLog>;

/** Query of every `…/logs` route of a job. */
export const JobLogsQuery = z.object({
  before: queryInteger(0, Number.MAX_SAFE_INTEGER).optional(),
  after: queryInteger(0, Number.MAX_SAFE_INTEGER).optional(),
  follow: queryFlag().optional(),
  format: z.enum(['json', 'text']).default('json'),
});

const logBody = (row: JobLogRow): JobLogBody => ({
  id: row.id,
  created_at: row.createdAt.toISOString(),
  log_source: row.source,
  log_level: row.level,
  stage: row.stage,
  output: row.output,
});

const followPage = 1_000;

/**
 * Stored rows with id > `after`, then live ones, each exactly once in id order; ends after the last row of a finished job. A
 * job writes its rows one batch at a time, so a larger id never becomes visible before a smaller one of the same job.
 */
export async function* followJobLogs(
  c: Context<ApiEnv>,
  options: { jobId: string; after: number; signal: AbortSignal },
): AsyncGenerator<JobLogBody> {
  const { db, listener } = c.var.deps;
  const { jobId, signal } = options;
  let after = options.after;
  for await (const _ of listener.wakeUps(jobLogsChannel, jobId, { signal })) {
    for (;;) {
      const { active, rows } = await readJobLog(db, { jobId, after, limit: followPage });
      for (const row of rows) {
        after = row.id;
        yield logBody(row);
      }
      if (rows.length === followPage) continue;
      if (!active) return;
      break;
    }
  }
}

/** Answers a `…/logs` route for a job whose reader is already authorized. Source: spec/02 §1.6, spec/06 §1.2. */
export async function jobLogsResponse(
  c: Context<ApiEnv>,
  jobId: string,
  query: z.infer<typeof JobLogsQuery>,
): Promise<Response> {
  const { before, after, follow = false, format } = query;
  if (follow) {
    if (before !== undefined) throw invalidField('before', 'before cannot be combined with follow');
    const source = (signal: AbortSignal) => followJobLogs(c, { jobId, after: after ?? 0, signal });
    if (wantsWebSocket(c)) return streamWebSocket(c, source, { frames: 'logs' });
    if (c.req.header('Accept')?.includes('text/event-stream') === true) return streamSse(c, source);
    throw new DomainError('INVALID_INPUT', 'Following needs a WebSocket, or Accept: text/event-stream');
  }
  const rows = await listJobLogs(c.var.deps.db, { jobId, before, after });
  if (format === 'json') return c.json(rows.map(logBody), 200);
  const lines = rows.filter((row) => row.output !== '').map((row) => `${row.createdAt.toISOString()} ${row.output}\n`);
  return c.text(lines.join(''), 200);
}

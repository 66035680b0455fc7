import { z } from '@hono/zod-openapi';
import type { QueuePosition } from '../../db/queries/job-views.ts';
import type { JobInput } from '../../db/schema/provisioner-jobs.ts';
import { timestamp } from '../schemas.ts';

export const ProvisionerJob = z
  .object({
    id: z.string(),
    created_at: timestamp(),
    started_at: timestamp().optional(),
    completed_at: timestamp().optional(),
    canceled_at: timestamp().optional(),
    error: z.string().optional(),
    error_code: z.string().optional(),
    status: z.enum(['pending', 'running', 'succeeded', 'canceling', 'canceled', 'failed', 'unknown']),
    worker_id: z.string().optional(),
    worker_name: z.string().optional(),
    file_id: z.string(),
    tags: z.record(z.string(), z.string()),
    queue_position: z.number().int(),
    queue_size: z.number().int(),
    organization_id: z.string(),
    initiator_id: z.string(),
    input: z.object({
      template_version_id: z.string().optional(),
      workspace_build_id: z.string().optional(),
      error: z.string().optional(),
    }),
    type: z.enum(['template_version_import', 'workspace_build', 'template_version_dry_run']),
    available_workers: z.array(z.string()).optional(),
    metadata: z
      .object({
        template_version_name: z.string(),
        template_id: z.string().optional(),
        template_name: z.string(),
        template_display_name: z.string(),
        template_icon: z.string(),
        workspace_id: z.string().optional(),
        workspace_name: z.string().optional(),
        workspace_build_transition: z.enum(['start', 'stop', 'delete']).optional(),
      })
      .optional(),
    logs_overflowed: z.boolean(),
  })
  .openapi('ProvisionerJob');
export type ProvisionerJobBody = z.infer<typeof ProvisionerJob>;

/** Row of `jobViewColumns` (db/queries/job-views.ts). */
export interface JobViewRow {
  id: string;
  createdAt: Date;
  startedAt: Date | null;
  completedAt: Date | null;
  canceledAt: Date | null;
  error: string | null;
  errorCode: string | null;
  status: ProvisionerJobBody['status'];
  workerId: string | null;
  workerName: string | null;
  fileId: string;
  tags: Record<string, string>;
  organizationId: string;
  initiatorId: string;
  input: JobInput;
  type: ProvisionerJobBody['type'];
  logsOverflowed: boolean;
}

/** A job as clients see it; unset instants are left out. `queue` is given for pending jobs only. Source: spec/02 §1.1. */
export function jobView(
  row: JobViewRow,
  queue: QueuePosition | undefined,
  metadata?: ProvisionerJobBody['metadata'],
): ProvisionerJobBody {
  const time = <K extends string>(key: K, instant: Date | null) =>
    (instant === null ? {} : { [key]: instant.toISOString() }) as Partial<Record<K, string>>;
  return {
    id: row.id,
    created_at: row.createdAt.toISOString(),
    ...time('started_at', row.startedAt),
    ...time('completed_at', row.completedAt),
    ...time('canceled_at', row.canceledAt),
    ...(row.error !== null && { error: row.error }),
    ...(row.errorCode !== null && { error_code: row.errorCode }),
    status: row.status,
    ...(row.workerId !== null && { worker_id: row.workerId, worker_name: row.workerName ?? '' }),
    file_id: row.fileId,
    tags: row.tags,
    queue_position: queue?.position ?? 0,
    queue_size: queue?.size ?? 0,
    organization_id: row.organizationId,
    initiator_id: row.initiatorId,
    input: {
      ...(row.input.template_version_id !== undefined && { template_version_id: row.input.template_version_id }),
      ...(row.input.workspace_build_id !== undefined && { workspace_build_id: row.input.workspace_build_id }),
    },
    type: row.type,
    ...(metadata !== undefined && { metadata }),
    logs_overflowed: row.logsOverflowed,
  };
}

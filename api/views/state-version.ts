import { z } from '@hono/zod-openapi';
import type { StateVersionRow } from '../../db/queries/state-versions.ts';
import { timestamp } from '../schemas.ts';

export const StateVersion = z
  .object({
    version: z.number().int(),
    build_id: z.string(),
    build_number: z.number().int(),
    source: z.enum(['build', 'upload', 'restore', 'forget', 'orphan']),
    created_at: timestamp(),
    created_by: z.string().nullable().openapi({ description: "null: a build's own" }),
    created_by_name: z.string(),
    serial: z.number().int(),
    lineage: z.string(),
    checksum: z
      .string()
      .openapi({ description: 'Hex SHA-256 of the content; empty for versions older than checksums' }),
    size_bytes: z.number().int(),
    current: z.boolean().openapi({ description: 'The next build starts from it' }),
    kept: z.boolean().openapi({ description: 'Its content is still there to be read and restored' }),
  })
  .openapi('WorkspaceStateVersion');
export type StateVersionBody = z.infer<typeof StateVersion>;

/** A version of a workspace's state, without its content. */
export const stateVersionView = (row: StateVersionRow): StateVersionBody => ({
  version: row.version,
  build_id: row.buildId,
  build_number: row.buildNumber,
  source: row.source,
  created_at: row.createdAt.toISOString(),
  created_by: row.createdBy,
  created_by_name: row.createdByName ?? '',
  serial: row.serial,
  lineage: row.lineage,
  checksum: row.checksum,
  size_bytes: row.sizeBytes,
  current: row.current,
  kept: row.kept,
});

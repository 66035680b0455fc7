import type { Db } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { TemporalStarter } from './temporal.ts';

/** What commands that start or end jobs need. */
export interface CommandDeps {
  readonly db: Db;
  readonly temporal: TemporalStarter;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'buildEnqueued' | 'claimMissed' | 'claimedInstantly'>;
  readonly cipher: ColumnCipher;
  now(): Date;
}

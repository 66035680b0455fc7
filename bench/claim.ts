import postgres from 'postgres';
import { withThrowawayStack } from '../scripts/stack/throwaway.ts';
import { measureAgentReady } from './claims/agent-ready.ts';
import { withClaimBed } from './claims/bed.ts';
import { measureBursts, measureLatency } from './claims/latency.ts';
import { measureRefill } from './claims/refill.ts';

/** The template that a new stack has; its preset `Ready` keeps one in reserve. */
const template = 'local-process';

/**
 * Claims of prebuilds over HTTP against one `update … skip locked returning` behind the same HTTP server: one after the other,
 * many at once; how soon a pool is filled again; how soon the agent is its new owner's.
 */
export async function benchClaim({ runs = 200 }: { runs: number | undefined }): Promise<void> {
  // The builds of the inserted pools are taken by nobody and would count as in flight for ever.
  const env = { CODER_WORKSPACE_PREBUILDS_MAX_IN_FLIGHT: '0' };
  await withThrowawayStack(async (stack, postgresUrl) => {
    const sql = postgres(postgresUrl, { max: 1, onnotice: () => undefined });
    try {
      await withClaimBed({ stack, postgresUrl, sql }, async (bed) => {
        // First the real pool: it rests during the rest.
        await measureAgentReady(bed, { template, runs: Math.max(2, Math.round(runs / 20)) });
        await bed.pause(true);
        await measureLatency(bed, runs);
        await measureRefill(bed, Math.max(10, Math.round(runs / 4)));
        // Last: their workflows keep Temporal busy for half a minute.
        await measureBursts(bed, { size: 100, rounds: 3 });
        await measureBursts(bed, { size: 200, rounds: 3 });
      });
    } finally {
      await sql.end();
    }
  }, env);
}

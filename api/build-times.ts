import type { Db } from '../db/client.ts';
import { type BuildTimeStats, listBuildTimes } from '../db/queries/template-stats.ts';

const keptMs = 10 * 60_000;
/** Below this the statement reads so little that keeping its answer would only make it stale. */
const keptFromSamples = 100;

/**
 * Build times of templates, in one statement for all that are not kept. Those of a template with much history are kept for
 * ten minutes: they move slowly and cost most. Source: spec/01 §6.6 (at most one hour).
 */
export function createBuildTimes(deps: { readonly db: Db; now(): Date }) {
  const kept = new Map<string, { until: number; stats: BuildTimeStats[] }>();
  return async (templateIds: readonly string[]): Promise<BuildTimeStats[]> => {
    const now = deps.now().getTime();
    for (const [id, entry] of kept) if (entry.until <= now) kept.delete(id);
    const missing = templateIds.filter((id) => !kept.has(id));
    const fresh = await listBuildTimes(deps.db, missing);
    for (const id of missing) {
      const stats = fresh.filter((row) => row.templateId === id);
      if (stats.some((row) => row.samples >= keptFromSamples)) kept.set(id, { until: now + keptMs, stats });
    }
    return [...fresh, ...templateIds.flatMap((id) => (missing.includes(id) ? [] : (kept.get(id)?.stats ?? [])))];
  };
}

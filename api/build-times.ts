import type { Db } from '../db/client.ts';
import { type BuildTimeStats, listBuildTimes } from '../db/queries/template-stats.ts';
import { createKeptAnswers } from './kept-answers.ts';

const keptMs = 10 * 60_000;
const keptFromSamples = 100;

/**
 * Build times of templates, in one statement for all that are not kept. Those of a template with much history are kept for
 * ten minutes: they move slowly and cost most. Source: spec/01 §6.6 (at most one hour).
 */
export function createBuildTimes(deps: { readonly db: Db; now(): Date }) {
  const kept = createKeptAnswers<BuildTimeStats[]>({
    keptMs,
    isCostly: (stats) => stats.some((row) => row.samples >= keptFromSamples),
    now: () => deps.now(),
  });
  return async (templateIds: readonly string[]): Promise<BuildTimeStats[]> => {
    const answers = await kept(templateIds, async (missing) => {
      const rows = await listBuildTimes(deps.db, missing);
      return new Map(missing.map((id) => [id, rows.filter((row) => row.templateId === id)]));
    });
    return [...answers.values()].flat();
  };
}

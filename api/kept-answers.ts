/**
 * Keeps answers that cost much for a while, by key, and asks for all that are not kept at once. Cheap ones are not kept: that would
 * only make them stale. A key without an answer is not in the result.
 */
export function createKeptAnswers<Answer>(options: {
  readonly keptMs: number;
  isCostly(answer: Answer): boolean;
  now(): Date;
}) {
  const kept = new Map<string, { until: number; answer: Answer }>();
  return async (
    keys: readonly string[],
    load: (missing: string[]) => Promise<ReadonlyMap<string, Answer>>,
  ): Promise<ReadonlyMap<string, Answer>> => {
    const now = options.now().getTime();
    for (const [key, { until }] of kept) if (until <= now) kept.delete(key);
    const answers = new Map(keys.flatMap((key) => (kept.has(key) ? [[key, kept.get(key)!.answer] as const] : [])));
    const missing = keys.filter((key) => !answers.has(key));
    if (missing.length === 0) return answers;
    for (const [key, answer] of await load(missing)) {
      answers.set(key, answer);
      if (options.isCostly(answer)) kept.set(key, { until: now + options.keptMs, answer });
    }
    return answers;
  };
}

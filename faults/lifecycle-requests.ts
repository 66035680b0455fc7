import type { Context } from './context.ts';
import type { Random } from './random.ts';
import { type Run, addFindings } from './run.ts';

const requestsAtOnce = 6;

/** Some of them, in an order of chance. */
export const someOf = (random: Random, ids: readonly string[], count: number): string[] =>
  ids
    .map((id) => ({ id, place: random.next() }))
    .toSorted((a, b) => a.place - b.place)
    .slice(0, count)
    .map(({ id }) => id);

/** The site's owner starts workspaces, each once. Answers those whose start was accepted; other answers must be allowed. */
export async function requestStarts(
  { api }: Context,
  run: Run,
  { ids, allowed }: { ids: readonly string[]; allowed: readonly number[] },
): Promise<readonly string[]> {
  const accepted: string[] = [];
  let next = 0;
  const lane = async () => {
    for (let id = ids[next++]; id !== undefined; id = ids[next++]) {
      const { status, body } = await api.request('POST', `/workspaces/${id}/builds`, { json: { transition: 'start' } });
      if (status === 201) accepted.push(id);
      if (!allowed.includes(status))
        addFindings(run, [
          { kind: 'wrong', what: `the start of ${id} was answered ${status} ${JSON.stringify(body).slice(0, 200)}` },
        ]);
    }
  };
  await Promise.all(Array.from({ length: requestsAtOnce }, lane));
  return accepted;
}

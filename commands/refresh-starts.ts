import { type Db, transaction } from '../db/client.ts';
import { lockFutureStarts } from '../db/queries/lifecycle.ts';
import { setNextStarts } from '../db/queries/template-effects.ts';
import { nextStartAt } from '../domain/autostart.ts';
import { NIL_UUID } from '../domain/ids.ts';

const pageSize = 1_000;

/**
 * Computes stored starts that are still to come anew: time-zone data changes with Node's, and what was computed with the old ones
 * would come at the old hour. One transaction per page; yields how many of each were moved. Source: spec/04 §4.3 row 12.
 */
export async function* refreshStarts(db: Db, now: Date): AsyncGenerator<number, void> {
  for (let after = NIL_UUID; ;) {
    const { page, moved } = await transaction(db, async (tx) => {
      const locked = await lockFutureStarts(tx, { now, after, limit: pageSize });
      const computed = locked.map((workspace) => ({ ...workspace, at: nextStartAt(workspace, now) }));
      const changed = computed.filter(({ at, nextStartAt: old }) => at?.getTime() !== old?.getTime());
      if (changed.length > 0)
        await setNextStarts(
          tx,
          changed.map(({ id, at }) => ({ id, at })),
        );
      return { page: locked, moved: changed.length };
    });
    yield moved;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last.id;
  }
}

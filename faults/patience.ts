import { setTimeout as delay } from 'node:timers/promises';

/** Asks until `probe` gives something; undefined when `boundMs` are over first. */
export async function eventually<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  { boundMs, everyMs = 20 }: { boundMs: number; everyMs?: number },
): Promise<T | undefined> {
  for (const deadline = Date.now() + boundMs; ;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) return undefined;
    await delay(everyMs);
  }
}

/** The same for what has to come: throws with `what` when it does not. */
export async function demand<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  bound: { boundMs: number; everyMs?: number },
): Promise<T> {
  const found = await eventually(probe, bound);
  if (found === undefined) throw new Error(`${what} did not come within ${bound.boundMs / 1000} s`);
  return found;
}

import { setTimeout as delay } from 'node:timers/promises';

/** A scrape waits so long for the database and then shows what was read before. */
const waitMs = 1_000;

/**
 * Values of the database for the metrics page: read when the page is asked for, at most every `maxAgeMs` and once at a time. A
 * read that fails or takes too long leaves the values from before, so no scrape fails or hangs because of it. Source: spec/08 §1.
 */
export function createSnapshot<T>(options: {
  read: () => Promise<T>;
  maxAgeMs: number;
  now: () => Date;
  onFailed: (err: unknown) => void;
}): () => Promise<T | undefined> {
  let last: T | undefined;
  let triedAt = -Infinity;
  let reading: Promise<void> | undefined;
  return async () => {
    if (reading === undefined && options.now().getTime() - triedAt >= options.maxAgeMs) {
      triedAt = options.now().getTime();
      reading = options
        .read()
        .then((value) => void (last = value), options.onFailed)
        .finally(() => (reading = undefined));
    }
    if (reading !== undefined) await Promise.race([reading, delay(waitMs, undefined, { ref: false })]);
    return last;
  };
}

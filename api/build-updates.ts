import type { Db } from '../db/client.ts';
import { type Listener, jobsChannel } from '../db/notifications.ts';
import { type BuildUpdate, lastUpdateSequence, listBuildUpdates } from '../db/queries/build-updates.ts';
import { DomainError } from '../domain/errors.ts';
import type { Logger } from '../telemetry/logger.ts';

/**
 * Every job status change of every workspace build, read once per process and change whatever the number of subscribers, and
 * not at all while there is none. Source: spec/06 §8.2.
 */
export interface BuildUpdates {
  /** Changes from now on; with `after` first those behind that place. Ends when `signal` aborts. */
  follow(options: { after: number | undefined; signal: AbortSignal }): AsyncGenerator<BuildUpdate>;
}

interface Settings {
  /** No transaction of ours is open for longer (db/client.ts cuts idle ones after 10 s): a lower place comes within it. */
  readonly overlapMs: number;
  /** A lost notification only delays. */
  readonly recheckMs: number;
  /** A burst of changes is one read. */
  readonly atLeastMsApart: number;
  /** A subscriber that is further behind has to come again with `after`. */
  readonly maxWaiting: number;
}
const defaults: Settings = { overlapMs: 15_000, recheckMs: 30_000, atLeastMsApart: 10, maxWaiting: 10_000 };
/** Places before the first one that may still have been in flight when the first subscriber came. */
const overlapAtStart = 1_000;
const pageSize = 500;
const over: ReadonlySet<string> = new Set(['succeeded', 'failed', 'canceled']);

export function createBuildUpdates(
  deps: { readonly db: Db; readonly listener: Listener; readonly logger: Logger },
  settings: Partial<Settings> = {},
): BuildUpdates {
  const { overlapMs, recheckMs, atLeastMsApart, maxWaiting } = { ...defaults, ...settings };
  const subscribers = new Set<(update: BuildUpdate) => void>();
  let reader: Promise<Reader> | undefined;

  /** Reads from the first subscriber to the last one's end. */
  async function startReader(): Promise<Reader> {
    const sent = new Map<number, number>();
    /** Of builds that are not over: a run that is taken up by another host has a new place and the old status. */
    const statuses = new Map<string, BuildUpdate['jobStatus']>();
    const isChange = ({ buildId, jobStatus }: BuildUpdate): boolean => {
      const before = statuses.get(buildId);
      if (over.has(jobStatus)) statuses.delete(buildId);
      else statuses.set(buildId, jobStatus);
      return before !== jobStatus;
    };
    /** Below it every place is settled: committed and sent, or never to come. */
    let floor = Math.max(0, (await lastUpdateSequence(deps.db)) - overlapAtStart);
    let stopped = false;
    let asked = false;
    let reading = false;

    async function read(publish: (update: BuildUpdate) => void): Promise<void> {
      for (let from = floor; ;) {
        const page = await listBuildUpdates(deps.db, { after: from, limit: pageSize });
        for (const update of page) {
          if (sent.has(update.updateSequence)) continue;
          sent.set(update.updateSequence, Date.now());
          if (isChange(update)) publish(update);
        }
        from = page.at(-1)?.updateSequence ?? from;
        if (page.length < pageSize) break;
      }
      // Whatever was drawn before a place that was seen so long ago is visible by now.
      const settled = Date.now() - overlapMs;
      for (const [place, seenAt] of sent) if (seenAt < settled) floor = Math.max(floor, place);
      for (const place of sent.keys()) if (place <= floor) sent.delete(place);
    }

    async function readWhileAsked(): Promise<void> {
      if (reading) return;
      reading = true;
      while (asked && !stopped) {
        asked = false;
        try {
          await read((update) => {
            for (const push of subscribers) push(update);
          });
        } catch (err) {
          // The next notification, reconnect or recheck reads the same places again.
          deps.logger.warn({ err }, 'build updates could not be read');
        }
        await new Promise((done) => setTimeout(done, atLeastMsApart));
      }
      reading = false;
    }
    const wake = (): void => {
      asked = true;
      void readWhileAsked();
    };
    // Listens before what is there already is left out: nothing falls between.
    const unsubscribe = deps.listener.subscribe(jobsChannel, wake);
    const timer = setInterval(wake, recheckMs);
    const stop = (): void => {
      stopped = true;
      clearInterval(timer);
      unsubscribe();
    };
    try {
      reading = true;
      await read(() => undefined);
    } catch (err) {
      stop();
      throw err;
    }
    reading = false;
    if (asked) wake();
    return { stop, floor: () => floor };
  }

  /** Only when the reader has begun, so that the subscriber misses nothing from here on. */
  async function join(push: (update: BuildUpdate) => void): Promise<{ floor: number; leave: () => void }> {
    subscribers.add(push);
    const mine = (reader ??= startReader());
    const leave = (): void => {
      subscribers.delete(push);
      if (subscribers.size > 0 || reader !== mine) return;
      reader = undefined;
      // One that never began has nothing to stop.
      void mine.then(
        (begun) => begun.stop(),
        () => undefined,
      );
    };
    try {
      return { floor: (await mine).floor(), leave };
    } catch (err) {
      subscribers.delete(push);
      // The next subscriber tries again; one that has tried meanwhile keeps its reader.
      if (reader === mine) reader = undefined;
      throw err;
    }
  }

  return {
    async *follow({ after, signal }) {
      const waiting: BuildUpdate[] = [];
      let lagging = false;
      let wake: (() => void) | undefined;
      const onAbort = (): void => wake?.();
      const { floor, leave } = await join((update) => {
        if (waiting.length >= maxWaiting) lagging = true;
        else waiting.push(update);
        wake?.();
      });
      signal.addEventListener('abort', onAbort);
      try {
        /** Places that both the stored rows and the reader show. */
        const known = new Set<number>();
        for (let from = after; from !== undefined && !signal.aborted;) {
          const page: BuildUpdate[] = await listBuildUpdates(deps.db, { after: from, limit: pageSize });
          for (const update of page) {
            if (update.updateSequence > floor) known.add(update.updateSequence);
            yield update;
          }
          from = page.length < pageSize ? undefined : page.at(-1)?.updateSequence;
        }
        while (!signal.aborted) {
          if (lagging)
            throw new DomainError('UNAVAILABLE', 'The stream is read too slowly; go on with ?after=<last sequence>');
          const update = waiting.shift();
          if (update === undefined) await new Promise<void>((done) => (wake = done));
          else if (!known.has(update.updateSequence)) yield update;
        }
      } finally {
        signal.removeEventListener('abort', onAbort);
        leave();
      }
    },
  };
}

interface Reader {
  stop(): void;
  floor(): number;
}

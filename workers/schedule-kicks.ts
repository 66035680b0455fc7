import type { Channel, Listener } from '../db/notifications.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Each trigger is a signal to the scheduler; a run sees all that happened before it (spec/03 §9). */
const quietMs = 1_000;
/** `setTimeout` takes 32 bits of milliseconds. */
const longestTimerMs = 2 ** 31 - 1;

export interface ScheduleKicks {
  /** A run at this instant instead of at the next tick. The earliest one counts; it is forgotten when the process ends. */
  wakeAt(at: Date): void;
  close(): void;
}

/**
 * Runs a schedule as soon as there may be something to do, at most once a second: whoever changes what it looks at says so on the
 * channel, in the transaction of the change. What is lost on the way costs at most one interval of the schedule.
 */
export function createScheduleKicks(deps: {
  listener: Listener;
  channel: Channel;
  trigger: () => Promise<void>;
  logger: Logger;
}): ScheduleKicks {
  const { listener, channel, trigger, logger } = deps;
  let closed = false;
  let lastAt = 0;
  let soon: NodeJS.Timeout | undefined;
  let later: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;

  const fire = () => {
    soon = undefined;
    lastAt = Date.now();
    trigger().catch((err: unknown) => logger.warn({ err, channel }, 'schedule not triggered, its next tick will do'));
  };
  const kick = () => {
    if (closed || soon !== undefined) return;
    soon = setTimeout(fire, Math.max(0, lastAt + quietMs - Date.now()));
  };
  const unsubscribe = listener.subscribe(channel, kick);
  return {
    wakeAt(at) {
      if (closed || (later !== undefined && later.at <= at.getTime())) return;
      clearTimeout(later?.timer);
      const timer = setTimeout(
        () => {
          later = undefined;
          kick();
        },
        Math.min(Math.max(0, at.getTime() - Date.now()), longestTimerMs),
      );
      timer.unref();
      later = { at: at.getTime(), timer };
    },
    close() {
      closed = true;
      unsubscribe();
      clearTimeout(soon);
      clearTimeout(later?.timer);
    },
  };
}

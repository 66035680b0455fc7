import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from './failure.ts';
import type { ExitInfo, RunningUnit } from './running.ts';

export type UnitEvent =
  | { readonly kind: 'started'; readonly name: string; readonly pid: number; readonly restarts: number }
  | { readonly kind: 'exited'; readonly name: string; readonly exit: ExitInfo; readonly restartInMs: number }
  | { readonly kind: 'restart-failed'; readonly name: string; readonly reason: string; readonly restartInMs: number }
  | { readonly kind: 'stopping'; readonly name: string };

export interface SupervisorOptions {
  readonly onEvent: (event: UnitEvent) => void;
  /** First wait before a restart; doubles up to `maxBackoffMs` and starts over once the unit has lived for a minute. */
  readonly firstBackoffMs?: number;
  readonly maxBackoffMs?: number;
}
export interface SupervisedUnit {
  readonly name: string;
  readonly running: RunningUnit;
  readonly restarts: number;
}
export interface Supervisor {
  /** Starts a unit and from then on restarts it whenever it ends. Rejects when the first start fails. */
  run<Running extends RunningUnit>(name: string, start: () => Promise<Running>): Promise<Running>;
  /** Ends all units in the reverse order of their start, each before the next. */
  stop(): Promise<void>;
  units(): readonly SupervisedUnit[];
}

const healthyAfterMs = 60_000;

/** Keeps processes running until told to stop. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { onEvent, firstBackoffMs = 500, maxBackoffMs = 30_000 } = options;
  const units: { name: string; running: RunningUnit; restarts: number; watching: Promise<void> }[] = [];
  const stopping = new AbortController();
  const stopped = (): boolean => stopping.signal.aborted;
  let ending: Promise<void> | undefined;

  async function keepAlive(unit: (typeof units)[number], start: () => Promise<RunningUnit>): Promise<void> {
    let wait = firstBackoffMs;
    while (!stopped()) {
      const startedAt = Date.now();
      const exit = await unit.running.exited;
      if (stopped()) return;
      if (Date.now() - startedAt > healthyAfterMs) wait = firstBackoffMs;
      onEvent({ kind: 'exited', name: unit.name, exit, restartInMs: wait });
      for (let started = false; !started;) {
        await delay(wait, undefined, { signal: stopping.signal }).catch(() => undefined);
        if (stopped()) return;
        wait = Math.min(wait * 2, maxBackoffMs);
        try {
          unit.running = await start();
          unit.restarts += 1;
          started = true;
        } catch (err) {
          onEvent({ kind: 'restart-failed', name: unit.name, reason: messageOf(err), restartInMs: wait });
        }
      }
      onEvent({ kind: 'started', name: unit.name, pid: unit.running.identity.pid, restarts: unit.restarts });
    }
  }

  async function stopAll(): Promise<void> {
    for (const unit of units.toReversed()) {
      onEvent({ kind: 'stopping', name: unit.name });
      await unit.running.stop();
      // A restart that was under way has to be over before the process that it made can be ended.
      await unit.watching;
      await unit.running.stop();
    }
  }

  return {
    async run(name, start) {
      if (stopped()) throw new Error(`${name} is not started: everything is being stopped`);
      const running = await start();
      if (stopped()) {
        await running.stop();
        throw new Error(`${name} was stopped while starting`);
      }
      const unit = { name, running: running as RunningUnit, restarts: 0, watching: Promise.resolve() };
      units.push(unit);
      onEvent({ kind: 'started', name, pid: running.identity.pid, restarts: 0 });
      unit.watching = keepAlive(unit, start);
      return running;
    },
    stop() {
      stopping.abort();
      ending ??= stopAll();
      return ending;
    },
    units: () => units,
  };
}

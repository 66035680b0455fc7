import type { Backoff } from './backoff.ts';
import { mayFollow } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { LifecycleState } from './protocol.ts';
import type { ServerClient } from './server-client.ts';
import { endsWithin } from './wait.ts';

export interface LifecycleReporter {
  /** A state that does not rank after the last one is dropped with a warning. */
  readonly push: (state: LifecycleState) => void;
  readonly last: () => LifecycleState | undefined;
  /** Whether every state was reported within `ms`. */
  readonly flush: (ms: number) => Promise<boolean>;
  /** Reports nothing any more. */
  readonly stop: () => void;
}

/** The states of one instance: each reported once, in order, one request in flight. Source: spec/05 §5. */
export function createLifecycleReporter({
  client,
  backoff,
  log,
}: {
  readonly client: ServerClient;
  readonly backoff: Backoff;
  readonly log: Log;
}): LifecycleReporter {
  const stopped = new AbortController();
  let last: LifecycleState | undefined;
  let reported: Promise<void> = Promise.resolve();

  async function report(state: LifecycleState, changedAt: string): Promise<void> {
    if (stopped.signal.aborted) return;
    const call = {
      method: 'POST',
      path: '/workspaceagents/me/report-lifecycle',
      body: { state, changed_at: changedAt },
      signal: stopped.signal,
    } as const;
    const answer = await client.deliver(call, backoff);
    if (answer !== null && answer.status >= 300) log.warn(`the state ${state} was refused with ${answer.status}`);
  }

  return {
    push(state) {
      if (stopped.signal.aborted) return;
      if (!mayFollow(last, state)) return log.warn(`the state ${state} cannot follow ${last}: not reported`);
      last = state;
      const changedAt = new Date().toISOString();
      reported = reported.then(() => report(state, changedAt));
    },
    last: () => last,
    async flush(ms) {
      return (await endsWithin(reported, ms)) && !stopped.signal.aborted;
    },
    stop: () => stopped.abort(),
  };
}

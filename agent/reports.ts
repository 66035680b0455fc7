import type { Backoff } from './backoff.ts';
import type { Log } from './log.ts';
import type { Call, ServerClient } from './server-client.ts';
import { endsWithin } from './wait.ts';

/** Reports that must arrive, in any order: the start, script timings. */
export interface Reports {
  readonly send: (call: Call) => void;
  readonly flush: (ms: number) => Promise<boolean>;
  readonly stop: () => void;
}

export function createReports({
  client,
  backoff,
  log,
}: {
  readonly client: ServerClient;
  readonly backoff: Backoff;
  readonly log: Log;
}): Reports {
  const stopped = new AbortController();
  const pending = new Set<Promise<void>>();

  async function deliver(call: Call): Promise<void> {
    const answer = await client.deliver({ ...call, signal: stopped.signal }, backoff);
    if (answer !== null && answer.status >= 300) log.warn(`${call.method} ${call.path} was refused: ${answer.status}`);
  }

  return {
    send(call) {
      if (stopped.signal.aborted) return;
      const work = deliver(call).finally(() => pending.delete(work));
      pending.add(work);
    },
    flush: (ms) => endsWithin(Promise.all(pending), ms),
    stop: () => stopped.abort(),
  };
}

import type { Client } from './client.ts';
import { followSocket } from './follow-socket.ts';
import type { BuildUpdate } from './types.ts';

/** Sequences become visible a little out of order: so far back it is asked again, and what is known is dropped. */
const overlap = 1_000;
const path = '/api/experimental/watch-all-workspacebuilds';

/**
 * Job status changes of all builds, each once, over lost connections too; from now on, or from behind a sequence. Goes on until
 * `signal` aborts. Throws CliError.
 */
export async function followBuildUpdates(
  client: Client,
  options: {
    readonly after?: number | undefined;
    readonly onUpdate: (update: BuildUpdate) => void;
    readonly signal?: AbortSignal | undefined;
    readonly patienceMs?: number;
  },
): Promise<void> {
  const { onUpdate, signal, patienceMs } = options;
  /** Nothing before it is asked for: what was given, else the first change that was seen. */
  let from = options.after;
  let last = options.after ?? 0;
  const known = new Set<number>();
  const query = (): string => (from === undefined ? '' : `?after=${Math.max(from, last - overlap)}`);
  await followSocket(client, {
    path: () => `${path}${query()}`,
    plainPath: () => path,
    onMessage(message) {
      const update = message as BuildUpdate;
      const sequence = update.update_sequence;
      if (known.has(sequence)) return;
      known.add(sequence);
      from ??= sequence - 1;
      last = Math.max(last, sequence);
      for (const old of known) if (old < last - 2 * overlap) known.delete(old);
      onUpdate(update);
    },
    what: 'The stream of builds',
    next: 'builds go on; berth watch follows them again',
    signal,
    patienceMs,
  });
}

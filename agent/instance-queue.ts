import type { Instance } from './instance.ts';
import { instanceKey } from './instance-key.ts';
import type { Log } from './log.ts';
import type { Manifest, ReinitEvent } from './protocol.ts';
import { wait } from './wait.ts';

export interface InstanceQueueOptions {
  /** null = `signal` aborted first. */
  readonly fetchManifest: (signal: AbortSignal) => Promise<Manifest | null>;
  readonly start: (manifest: Manifest) => Instance;
  readonly newOwnerWithinMs: number;
  readonly retryMs: number;
  readonly log: Log;
}

export interface InstanceQueue {
  readonly current: () => Instance | null;
  /** Something may have changed: a connection, a `manifest_changed` frame. */
  readonly look: () => void;
  /** The workspace has a new owner, by frame or by event. */
  readonly reinit: (event: ReinitEvent) => void;
  /** No further instance begins; resolves when none is being replaced. */
  readonly stop: () => Promise<void>;
}

/**
 * The one place where an instance is replaced. Everything that may mean a change only makes it look at the manifest again;
 * the instance's key decides, so of frame, event and manifest the first acts and the others find nothing to do.
 * Source: spec/05 §5 "suspended machines", §14.
 */
export function createInstanceQueue(options: InstanceQueueOptions): InstanceQueue {
  const { fetchManifest, start, log } = options;
  const stopped = new AbortController();
  const { signal } = stopped;
  let current: Instance | null = null;
  let expectedOwner: string | null = null;
  let wanted = false;
  let working: Promise<void> | null = null;

  async function work(): Promise<void> {
    while (wanted && !signal.aborted) {
      wanted = false;
      const manifest = await fetchUntilOwner();
      if (manifest === null || signal.aborted) return;
      if (current?.key === instanceKey(manifest)) {
        current.refresh(manifest);
        continue;
      }
      if (current !== null) {
        log.info(`another build or owner (build ${manifest.build_number}): starting again`);
        await current.close('silent');
        if (signal.aborted) return;
      }
      current = start(manifest);
    }
  }

  /** The event of a claim may be here before the manifest shows it. */
  async function fetchUntilOwner(): Promise<Manifest | null> {
    const untilMs = performance.now() + options.newOwnerWithinMs;
    for (;;) {
      const manifest = await fetchManifest(signal);
      const owner = expectedOwner;
      if (manifest === null || owner === null || manifest.owner_id === owner || performance.now() > untilMs) {
        expectedOwner = null;
        return manifest;
      }
      await wait(options.retryMs, signal);
    }
  }

  function look(): void {
    wanted = true;
    working ??= work().finally(() => {
      working = null;
      if (wanted && !signal.aborted) look();
    });
  }

  return {
    current: () => current,
    look,
    reinit(event) {
      if (event.user_id === current?.ownerId) return;
      expectedOwner = event.user_id;
      look();
    },
    async stop() {
      stopped.abort();
      await working;
    },
  };
}

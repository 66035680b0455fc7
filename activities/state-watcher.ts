import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isNewerState, parseState } from '../terraform/state.ts';
import { encodeState, setBuildState } from '../db/queries/workspace-build-states.ts';
import type { JobRun } from './job-run.ts';

const storeAtMostEveryMs = 2_000;
/** Terraform often finishes several resources at once, or is over: then the end of the run stores the state. */
const settleMs = 100;
const pollEveryMs = 1_000;

export interface StateVersion {
  readonly serial: number;
  readonly lineage: string;
}

export interface StateWatcher {
  /**
   * Masks from now on what this apply has made secret so far (agent tokens). Whoever may print a secret runs after it stands
   * in the file, so that a call before a line is enough. Synchronous, and cheap while the file does not change.
   */
  maskSecrets(): void;
  /** Addresses in the state that is stored: what is among them survives the loss of this host. */
  storedAddresses(): ReadonlySet<string>;
  /** Stops watching and reads a last time. Resolves with the newest state that fits the one before it, if there is any. */
  finish(): Promise<{ newest: { bytes: Buffer; version: StateVersion } | undefined; fits: boolean }>;
}

/** The same or a later state of one lineage. */
const isSuccessor = (previous: StateVersion, next: StateVersion): boolean =>
  next.lineage === previous.lineage && next.serial >= previous.serial;

const tornReads = { tries: 20, waitMs: 5 };

/**
 * Persists `terraform.tfstate` while Terraform rewrites it after every finished resource: a lost host loses at most the calls
 * in flight. Torn files, lower serials and other lineages are never stored. Source: spec/02 §5.5.
 */
export function watchState(
  run: JobRun,
  options: { buildId: string; directory: string; input: StateVersion | undefined },
): StateWatcher {
  const path = join(options.directory, 'terraform.tfstate');
  let newest: { bytes: Buffer; version: StateVersion; addresses: readonly string[] } | undefined;
  let storedAddresses: ReadonlySet<string> = new Set();
  let storedSerial = options.input?.serial ?? -1;
  let lastStoredAt = 0;
  let busy: Promise<void> = Promise.resolve();
  let closed = false;
  let fits = true;
  let masked = '';

  const read = async () => {
    for (const name of [path, join(options.directory, 'errored.tfstate')]) {
      const bytes = await readFile(name).catch(() => undefined);
      const state = bytes === undefined || bytes.length === 0 ? null : parseState(bytes);
      if (bytes === undefined || state === null) continue;
      const version = { serial: state.serial, lineage: state.lineage };
      const previous = newest?.version ?? options.input;
      if (previous === undefined || isNewerState(previous, version))
        newest = { bytes, version, addresses: state.instances.map(({ address }) => address) };
      if (name === path) fits = options.input === undefined || isSuccessor(options.input, version);
    }
  };
  const store = async () => {
    if (newest === undefined || newest.version.serial <= storedSerial) return;
    const { bytes, version, addresses } = newest;
    const state = await encodeState(run.deps.cipher, { buildId: options.buildId, bytes, ...version });
    await setBuildState(run.deps.db, { buildId: options.buildId, jobId: run.job.id, attempt: run.job.attempt, state });
    storedSerial = version.serial;
    storedAddresses = new Set(addresses);
    lastStoredAt = Date.now();
  };
  let due: NodeJS.Timeout | undefined;
  const look = () => {
    due ??= setTimeout(keep, Math.max(settleMs, lastStoredAt + storeAtMostEveryMs - Date.now()));
  };
  const keep = () => {
    due = undefined;
    busy = busy.then(async () => {
      if (closed) return;
      await read();
      // The database may be away: the next look, at the latest the one after the end, stores it.
      await store().catch((err: unknown) =>
        run.deps.logger.warn({ err, job_id: run.job.id }, 'state was not stored, will try again'),
      );
    });
  };
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(options.directory, (_event, name) => {
      if (name === 'terraform.tfstate') look();
    });
    watcher.on('error', () => undefined);
  } catch {
    // No inotify watches left on this host: the poll below is enough.
  }
  const poll = setInterval(look, pollEveryMs);
  // A build that starts from nothing is stored from its first resource on, not only after the first interval.
  return {
    maskSecrets() {
      let seen = '';
      for (let tries = 0; tries < tornReads.tries; tries += 1) {
        try {
          const { mtimeMs, size } = statSync(path);
          seen = `${mtimeMs} ${size}`;
          if (seen === masked) return;
          const state = parseState(readFileSync(path));
          if (state !== null) {
            run.redactor.add(state.sensitive);
            masked = seen;
            return;
          }
        } catch {
          return;
        }
        // Terraform is just writing it.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, tornReads.waitMs);
      }
      // Not being written after all: a first build's file stays empty until its first resource is made. Waiting for it
      // again before every line would hold up the whole worker, and the lines would only be seen at the end.
      masked = seen;
    },
    storedAddresses: () => storedAddresses,
    async finish() {
      watcher?.close();
      clearInterval(poll);
      clearTimeout(due);
      await busy;
      closed = true;
      await read();
      return { newest, fits };
    },
  };
}

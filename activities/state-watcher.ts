import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isNewerState, parseState } from '../terraform/state.ts';
import { encodeState, setBuildState } from '../db/queries/workspace-build-states.ts';
import type { JobRun } from './job-run.ts';

const storeAtMostEveryMs = 2_000;
const pollEveryMs = 1_000;

export interface StateVersion {
  readonly serial: number;
  readonly lineage: string;
}

export interface StateWatcher {
  /** Stops watching and stores what the file says now. Resolves with the bytes of the newest state, if there is any. */
  finish(): Promise<{ bytes: Buffer; version: StateVersion } | undefined>;
}

/**
 * Persists `terraform.tfstate` while Terraform rewrites it after every finished resource: a lost host loses at most the calls
 * in flight. Torn files, lower serials and other lineages are never stored. Source: spec/02 §5.5.
 */
export function watchState(
  run: JobRun,
  options: { buildId: string; directory: string; input: StateVersion | undefined },
): StateWatcher {
  const path = join(options.directory, 'terraform.tfstate');
  let newest: { bytes: Buffer; version: StateVersion } | undefined;
  let storedSerial = options.input?.serial ?? -1;
  let lastStoredAt = 0;
  let busy: Promise<void> = Promise.resolve();
  let closed = false;

  const read = async () => {
    for (const name of [path, join(options.directory, 'errored.tfstate')]) {
      const bytes = await readFile(name).catch(() => undefined);
      const state = bytes === undefined || bytes.length === 0 ? null : parseState(bytes);
      if (bytes === undefined || state === null) continue;
      const version = { serial: state.serial, lineage: state.lineage };
      const previous = newest?.version ?? options.input;
      if (previous === undefined || isNewerState(previous, version)) newest = { bytes, version };
    }
  };
  const store = async () => {
    if (newest === undefined || newest.version.serial <= storedSerial) return;
    const { bytes, version } = newest;
    const state = await encodeState(run.deps.cipher, { buildId: options.buildId, bytes, ...version });
    await setBuildState(run.deps.db, { buildId: options.buildId, jobId: run.job.id, attempt: run.job.attempt, state });
    storedSerial = version.serial;
    lastStoredAt = Date.now();
  };
  const look = () => {
    busy = busy.then(async () => {
      if (closed || Date.now() - lastStoredAt < storeAtMostEveryMs) return;
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
    async finish() {
      watcher?.close();
      clearInterval(poll);
      await busy;
      closed = true;
      await read();
      return newest;
    },
  };
}

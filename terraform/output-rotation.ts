import { readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { groupMembers, processStat } from './process-identity.ts';
import { readRunState, stderrFile, stdoutFile } from './run-directory.ts';

/**
 * A build may print more than its disk holds. What has been read and stored is taken away from the front of its output file:
 * Terraform is held for a moment, the file emptied, and `<file>.base` says how many bytes are gone. Offsets count all bytes
 * that were ever written.
 */
interface Base {
  readonly base: number;
  /** Bytes that are being taken away just now; 0 = done. */
  readonly pending: number;
}

const baseFile = (path: string): string => `${path}.base`;

/** Bytes that were taken away from the front of the file. */
export const outputBase = (path: string): number => readBase(path).base;

function readBase(path: string): Base {
  try {
    return JSON.parse(readFileSync(baseFile(path), 'utf8')) as Base;
  } catch {
    return { base: 0, pending: 0 };
  }
}

function writeBase(path: string, base: Base): void {
  writeFileSync(`${baseFile(path)}.draft`, JSON.stringify(base), { mode: 0o600 });
  renameSync(`${baseFile(path)}.draft`, baseFile(path));
}

/** Empties the file, whose writer is held. A crash in between is settled by `settleOutput`. Answers the new base. */
export function takeAway(path: string, size: number): number {
  const base = outputBase(path) + size;
  writeBase(path, { base, pending: size });
  truncateSync(path, 0);
  writeBase(path, { base, pending: 0 });
  return base;
}

/** Ends what a worker had begun that died while it took output away, and lets Terraform go on. */
export function settleOutput(outputDir: string): void {
  for (const path of [stdoutFile(outputDir), stderrFile(outputDir)]) {
    const { base, pending } = readBase(path);
    if (pending === 0) continue;
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= pending) truncateSync(path, 0);
    writeBase(path, { base, pending: 0 });
  }
  letGoOn(outputDir);
}

const signalGroup = (outputDir: string, signal: 'SIGSTOP' | 'SIGCONT'): number | null => {
  const state = readRunState(outputDir);
  if (state.kind !== 'running') return null;
  try {
    process.kill(-state.process.pid, signal);
    return state.process.pid;
  } catch {
    return null;
  }
};

const stopWithinMs = 1_000;

/** Says that a worker holds the group: its shim must not let it go on meanwhile. */
const heldFile = (outputDir: string): string => join(outputDir, 'held');

/** Stops Terraform and its group. False when it is over, or does not stop: then nothing is held. */
export async function hold(outputDir: string): Promise<boolean> {
  writeFileSync(heldFile(outputDir), '', { mode: 0o600 });
  const groupId = signalGroup(outputDir, 'SIGSTOP');
  if (groupId === null) {
    rmSync(heldFile(outputDir), { force: true });
    return false;
  }
  for (const deadline = Date.now() + stopWithinMs; Date.now() < deadline;) {
    const members = groupMembers(groupId);
    if (members.length > 0 && members.every((pid) => processStat(pid)?.stopped !== false)) return true;
    await new Promise((done) => setTimeout(done, 5));
  }
  letGoOn(outputDir);
  return false;
}

export function letGoOn(outputDir: string): void {
  rmSync(heldFile(outputDir), { force: true });
  signalGroup(outputDir, 'SIGCONT');
}

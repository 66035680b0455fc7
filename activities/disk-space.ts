import { existsSync, mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProvisionerDeps } from './deps.ts';

const lookEveryMs = 1_000;
const waitAtMostMs = 30_000;
/** Given up by a shim when the disk is full, so that Terraform can still write its state. */
const reserveBytes = 16 * 1024 * 1024;

type DiskDeps = Pick<ProvisionerDeps, 'workRoot' | 'limits' | 'logger'>;

/** Whether less is free than a build needs to end in order. */
export function isDiskTight({ workRoot, limits }: Pick<DiskDeps, 'workRoot' | 'limits'>): boolean {
  const { bavail, bsize } = statfsSync(workRoot);
  return bavail * bsize < limits.minFreeBytes;
}

/** Whether a step of ours failed because the disk is full. */
export const isDiskFull = (err: unknown): boolean =>
  err instanceof Error && 'code' in err && (err.code === 'ENOSPC' || err.code === 'EDQUOT');

/** Resolves with false when the disk stays too full to begin a job; another host may have room. */
export async function waitForDisk(deps: DiskDeps, signal: AbortSignal): Promise<boolean> {
  for (const until = Date.now() + waitAtMostMs; isDiskTight(deps);) {
    signal.throwIfAborted();
    if (Date.now() > until) {
      deps.logger.warn({ work_root: deps.workRoot }, 'the disk is too full to begin a job');
      return false;
    }
    await new Promise((done) => setTimeout(done, lookEveryMs));
  }
  return true;
}

export const diskFullText = (why: string): string => `The disk of the provisioner is full: ${why}`;

/** Puts the reserve in place when there is room for it. */
export function keepReserve(deps: DiskDeps): void {
  const path = join(deps.workRoot, 'reserve');
  if (existsSync(path)) return;
  const { bavail, bsize } = statfsSync(deps.workRoot);
  if (bavail * bsize < deps.limits.minFreeBytes + 2 * reserveBytes) return;
  mkdirSync(deps.workRoot, { recursive: true, mode: 0o700 });
  writeFileSync(path, Buffer.alloc(reserveBytes), { mode: 0o600 });
}

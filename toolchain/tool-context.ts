import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DownloadLimits } from './download.ts';
import type { Progress } from './progress.ts';
import type { ToolDirs } from './tool-store.ts';

/** What every resolver needs to know; comes from config.ts at the process entries. */
export interface ToolContext {
  readonly dirs: ToolDirs;
  /** Where to look for installed tools, as the PATH variable has it. */
  readonly path: string;
  /** Environment of the tools that are run for set-up (Go, Terraform). */
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  /** Patience with the network; tests shorten it. */
  readonly limits?: DownloadLimits;
  /** Go commands to use when PATH has none. */
  readonly goPlaces?: readonly string[];
}

/** Runs `work` with a private directory below `.tools`, so that finished files can be renamed or linked into place. */
export async function withScratch<T>(dirs: ToolDirs, work: (scratch: string) => Promise<T>): Promise<T> {
  const scratch = join(dirs.tools, 'tmp', randomBytes(6).toString('hex'));
  mkdirSync(scratch, { recursive: true });
  try {
    return await work(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

export const lockPath = (dirs: ToolDirs, name: string): string => join(dirs.tools, 'locks', `${name}.lock`);

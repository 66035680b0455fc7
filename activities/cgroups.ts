import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CgroupLimits {
  /** 0 = no limit. */
  readonly maxProcesses: number;
  /** 0 = no limit. */
  readonly maxMemoryBytes: number;
}

/**
 * Makes a cgroup (v2) per job below a delegated directory, so that even processes that leave Terraform's group stay within the
 * limits. null = none is configured. Throws when the directory is not usable: limits that an operator asked for must not be
 * missing silently. Empty cgroups of earlier jobs are removed on the way; one with processes is a workspace that lives on.
 */
export function createCgroups(root: string | undefined, limits: CgroupLimits): ((jobId: string) => string) | null {
  if (root === undefined) return null;
  enableControllers(root, limits);
  return (jobId) => {
    for (const entry of readdirSync(root, { withFileTypes: true }))
      if (entry.isDirectory()) removeEmpty(join(root, entry.name));
    const directory = join(root, `job-${jobId}`);
    mkdirSync(directory, { recursive: true });
    if (limits.maxProcesses > 0) writeFileSync(join(directory, 'pids.max'), String(limits.maxProcesses));
    if (limits.maxMemoryBytes > 0) writeFileSync(join(directory, 'memory.max'), String(limits.maxMemoryBytes));
    return directory;
  };
}

function enableControllers(root: string, limits: CgroupLimits): void {
  const wanted = [...(limits.maxProcesses > 0 ? ['pids'] : []), ...(limits.maxMemoryBytes > 0 ? ['memory'] : [])];
  try {
    const offered = readFileSync(join(root, 'cgroup.controllers'), 'utf8').trim().split(' ');
    const missing = wanted.filter((name) => !offered.includes(name));
    if (missing.length > 0) throw new Error(`it has no controller ${missing.join(', ')}`);
    writeFileSync(join(root, 'cgroup.subtree_control'), wanted.map((name) => `+${name}`).join(' '));
  } catch (err) {
    throw new Error(
      `BERTH_CGROUP_ROOT ${root} is not usable: ${(err as Error).message}. It has to be a cgroup v2 directory that is delegated to this user and has no processes of its own.`,
    );
  }
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Still in use.
  }
}

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunEnd, followRun } from '../../../terraform/follow-run.ts';
import { type RunMeta, readRunState } from '../../../terraform/run-directory.ts';
import { groupMembers } from '../../../terraform/process-identity.ts';
import type { Shims, StartCommand } from '../../../terraform/shims.ts';
import { waitFor } from '../../support/wait.ts';

export const runMeta: RunMeta = {
  name: 'apply',
  stage: 'apply',
  attempt: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  resumable: true,
  input: null,
};

/** A job's directory with its `runs`; numbers go on. */
export function jobDirectory(dir: string): { readonly job: string; next(): string } {
  const job = join(dir, 'job');
  mkdirSync(join(job, 'runs'), { recursive: true });
  let number = 0;
  return { job, next: () => join(job, 'runs', String((number += 1))) };
}

/** A command whose Terraform is a shell with this script. */
export function scriptCommand(dir: string, outputDir: string, script: string): StartCommand {
  return {
    outputDir,
    cwd: dir,
    binary: '/bin/sh',
    args: ['-c', script],
    env: { PATH: '/usr/bin:/bin' },
    meta: runMeta,
    leaseFile: null,
    killGraceMs: 1_000,
    reserveFile: null,
    minFreeBytes: 0,
    maxProcesses: 0,
    openFiles: 1_024,
    cgroup: null,
  };
}

export interface ScriptRun {
  readonly outputDir: string;
  readonly end: Promise<RunEnd>;
}

export function startCommand(shims: Shims, command: StartCommand): ScriptRun {
  shims.start(command);
  return { outputDir: command.outputDir, end: followRun(shims, command) };
}

/** Pid of the run's Terraform, once it has said who it is. */
export const pidOf = (outputDir: string): Promise<number> =>
  waitFor('the process', async () => {
    const state = readRunState(outputDir);
    return state.kind === 'running' ? state.process.pid : undefined;
  });

export const membersOf = (groupId: number): readonly number[] => groupMembers(groupId);

export const has = (path: string, text: string): boolean => {
  try {
    return readFileSync(path, 'utf8').includes(text);
  } catch {
    return false;
  }
};

import { readFileSync, readdirSync } from 'node:fs';

export interface ProcessStat {
  readonly groupId: number;
  readonly sessionId: number;
  readonly startTime: string;
  /** Stopped by a signal. */
  readonly stopped: boolean;
}

/** Reads a line of `/proc/<pid>/stat`, whose second field is a name that may itself hold spaces and brackets. */
export function parseStat(stat: string): (ProcessStat & { readonly zombie: boolean }) | null {
  // proc(5): state is field 3, pgrp 5, session 6, starttime 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = fields[19];
  if (startTime === undefined) return null;
  const state = fields[0];
  return {
    groupId: Number(fields[2]),
    sessionId: Number(fields[3]),
    startTime,
    stopped: state === 'T' || state === 't',
    zombie: state === 'Z' || state === 'X',
  };
}

/** null when there is no such process or only its exit status waits for a parent that may never ask. */
export function processStat(pid: number): ProcessStat | null {
  try {
    const found = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return found === null || found.zombie ? null : found;
  } catch {
    return null;
  }
}

/** A process as its pid and its start, in clock ticks since boot: pids are used again. */
export interface ProcessId {
  readonly pid: number;
  /** null where /proc does not exist. */
  readonly startTime: string | null;
}

export const ownProcessId = (): ProcessId => ({
  pid: process.pid,
  startTime: processStat(process.pid)?.startTime ?? null,
});

/** Whether this very process still lives. Without a start time nobody can tell, and it counts as gone. */
export const isProcessAlive = ({ pid, startTime }: ProcessId): boolean =>
  startTime !== null && processStat(pid)?.startTime === startTime;

/** Living members of a process group that leads a session of its own, as a detached child does. */
export const groupMembers = (groupId: number): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const stat = processStat(pid);
      return stat !== null && stat.groupId === groupId && stat.sessionId === groupId;
    });

/** Changes with every boot; start times of different boots cannot be compared. */
export function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}

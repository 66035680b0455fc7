import { readFileSync } from 'node:fs';

/**
 * Fields of `/proc/<pid>/stat` after the name, which may itself hold spaces and brackets. null when there is no such process
 * or only its exit status waits for a parent that may never ask.
 */
export function processStat(pid: number): { groupId: number; sessionId: number; startTime: string } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // proc(5): state is field 3, pgrp 5, session 6, starttime 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const startTime = fields[19];
    if (startTime === undefined || fields[0] === 'Z' || fields[0] === 'X') return null;
    return { groupId: Number(fields[2]), sessionId: Number(fields[3]), startTime };
  } catch {
    return null;
  }
}

/** Clock ticks from boot to the start of the process: together with the pid it names one process. */
export const processStartTime = (pid: number): string | null => processStat(pid)?.startTime ?? null;

/** Changes with every boot; start times of different boots cannot be compared. */
export function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}

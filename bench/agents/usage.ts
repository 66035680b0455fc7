import { readFileSync } from 'node:fs';

/** Ticks of /proc/<pid>/stat; the same on every Linux of today. */
const ticksPerSecond = 100;

/** Seconds of processor time that the process has used, in user and kernel mode. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name is in parentheses and may hold spaces; field 3 is the first one after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export function residentKiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** Of a process and those it has started itself, such as a PostgreSQL and its backends. */
export function familyCpuSeconds(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  let sum = 0;
  for (const each of [pid, ...children])
    try {
      sum += cpuSeconds(each);
    } catch {
      // Ended between the look and the reading.
    }
  return sum;
}

/** Largest number of files that a process may open here. */
export const openFilesLimit = (): number =>
  Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);

/** Seconds that all processors of this machine were busy since it started. */
export function machineBusySeconds(): number {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number) as [number, number, number, number, number, number, number, number];
  return (user + nice + system + irq + softirq + steal) / ticksPerSecond;
}

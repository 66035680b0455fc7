import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What /proc tells about processes: whom to strike, and who is left. Linux only. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  readonly session: number;
}

function readEntry(pid: number): ProcessEntry | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name stands in brackets and may hold spaces; the state is the first field after it (proc(5)).
    const [state, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? null : { pid, parentPid: Number(parent), session: Number(session) };
  } catch {
    return null;
  }
}

const unlessGone = <T>(read: () => T, otherwise: T): T => {
  try {
    return read();
  } catch {
    return otherwise;
  }
};
const linkOf = (pid: number, name: 'cwd' | 'exe'): string => unlessGone(() => readlinkSync(`/proc/${pid}/${name}`), '');
const commandLineOf = (pid: number): string =>
  unlessGone(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '').replaceAll('\0', ' ');

export const isRunning = (pid: number): boolean => readEntry(pid) !== null;

/** All live processes; zombies are gone. */
export const listProcesses = (): ProcessEntry[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readEntry(Number(name)) ?? []);

/** Processes whose working directory is `directory` or lies below it, also when it has been removed meanwhile. */
export const processesBelow = (directory: string, all = listProcesses()): ProcessEntry[] =>
  all.filter(({ pid }) => `${linkOf(pid, 'cwd').replace(/ \(deleted\)$/, '')}/`.startsWith(`${directory}/`));

/** The Terraform at work for a job; undefined while none runs. */
export function terraformOf(workRoot: string, jobId: string, all = listProcesses()): ProcessEntry | undefined {
  const there = processesBelow(join(workRoot, jobId, 'work'), all);
  return there.find(({ pid }) => /^(terraform|tofu)$/.test(basename(linkOf(pid, 'exe'))));
}

/** Terraform, its providers, the shells of its provisioners and their children. */
export const sessionOf = (leader: ProcessEntry): ProcessEntry[] =>
  listProcesses().filter(({ session }) => session === leader.session);

/** Providers and provisioners of a Terraform: its session without itself. */
export const helpersOf = (terraform: ProcessEntry): ProcessEntry[] =>
  sessionOf(terraform).filter(({ pid }) => pid !== terraform.pid);

const isShim = (pid: number): boolean => commandLineOf(pid).includes('terraform/shim.mjs');

/** Everything that dies with a host: the worker with its descendants, and what runs in the work root with its shims. */
export function processesOfHost(workRoot: string, workerPid: number | null): ProcessEntry[] {
  const all = listProcesses();
  const found = new Map(processesBelow(workRoot, all).map((entry) => [entry.pid, entry]));
  const shims = new Set([...found.values()].map(({ parentPid }) => parentPid).filter(isShim));
  for (const entry of all) if (shims.has(entry.pid) || entry.pid === workerPid) found.set(entry.pid, entry);
  for (let size = -1; size !== found.size;) {
    size = found.size;
    for (const entry of all) if (found.has(entry.parentPid)) found.set(entry.pid, entry);
  }
  return [...found.values()];
}

export function signalAll(processes: readonly ProcessEntry[], signal: NodeJS.Signals): void {
  for (const { pid } of processes)
    try {
      process.kill(pid, signal);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
    }
}

/** As if the power went: all stand still before the first one dies, so that none sees another one's end or starts one more. */
export function cutPower(find: () => readonly ProcessEntry[]): void {
  const still = new Map<number, ProcessEntry>();
  for (let size = -1; size !== still.size;) {
    size = still.size;
    const moving = find().filter(({ pid }) => !still.has(pid));
    signalAll(moving, 'SIGSTOP');
    for (const entry of moving) still.set(entry.pid, entry);
  }
  signalAll([...still.values()], 'SIGKILL');
}

import { readFile, readdir } from 'node:fs/promises';
import { numberAt, parseObject, textOrNullAt } from './json.ts';
import { bootId, processStat } from './process-identity.ts';
import { markInterrupted, processFile } from './run.ts';

const maxWaitMs = 5_000;

/** `running`: terraform itself lives; `remains`: it is gone, but members of its group live on. */
export type Leftover = { readonly kind: 'none' } | { readonly kind: 'running' | 'remains'; readonly pid: number };

/**
 * What an earlier attempt left running: the process group recorded in `process.json`. Only when it is certainly that group:
 * same boot, and either terraform itself with the same pid and start time, or terraform is gone and its group still has
 * members (a pid is not given away while a group of that number lives).
 */
export async function findLeftover(outputDir: string): Promise<Leftover> {
  const text = await readFile(processFile(outputDir), 'utf8').catch(() => null);
  const record = text === null ? null : parseObject(text);
  if (record === null) return { kind: 'none' };
  const pid = numberAt(record, 'pid');
  const startTime = textOrNullAt(record, 'startTime');
  if (!Number.isInteger(pid) || pid < 2 || startTime === null) return { kind: 'none' };
  const boot = bootId();
  if (boot === null || textOrNullAt(record, 'bootId') !== boot) return { kind: 'none' };
  const leader = processStat(pid);
  if (leader !== null) return leader.startTime === startTime ? { kind: 'running', pid } : { kind: 'none' };
  return (await groupHasMembers(pid)) ? { kind: 'remains', pid } : { kind: 'none' };
}

/** Asks a leftover terraform to stop, once in its life whoever asks (spec/02 §5.4). */
export async function interruptLeftover(outputDir: string): Promise<void> {
  const leftover = await findLeftover(outputDir);
  if (leftover.kind !== 'running' || !markInterrupted(outputDir)) return;
  try {
    process.kill(leftover.pid, 'SIGINT');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
  }
}

/** Kills a leftover group. True when something was killed; it is then gone, or does not die within 5 s. */
export async function killLeftover(outputDir: string): Promise<boolean> {
  const leftover = await findLeftover(outputDir);
  if (leftover.kind === 'none') return false;
  const { pid } = leftover;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    return false;
  }
  // Whoever asked goes on in the same directory: a process in a system call dies only when that returns.
  for (const deadline = Date.now() + maxWaitMs; Date.now() < deadline && (await groupHasMembers(pid));)
    await new Promise((resolve) => setTimeout(resolve, 10));
  return true;
}

/** Members whose session is the group's own: a detached child leads both. */
async function groupHasMembers(groupId: number): Promise<boolean> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = processStat(Number(name));
    if (stat !== null && stat.groupId === groupId && stat.sessionId === groupId) return true;
  }
  return false;
}

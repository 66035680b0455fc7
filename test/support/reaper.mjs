/**
 * Ends what a test run started when that run is gone, however it went: its standard input is a pipe from the run and closes
 * with it, also after kill -9. Lines: `pid <number> <start>` to end, `dir <path>` to remove. A line `done` empties the list.
 */
import { readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';

const entries = new Map();
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  if (line === 'done') entries.clear();
  else entries.set(line, line.split(' '));
});

/** Start time of a process, so that a number that was given to another process is left alone. */
const startOf = (pid) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return null;
  }
};
const signal = (pid, start, name) => {
  const current = startOf(pid);
  if (current !== null && current !== start) return;
  try {
    process.kill(Number(pid), name);
  } catch {
    // Gone already.
  }
};

// Ctrl-C reaches the whole terminal group; this process has to outlive it to do its work.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => undefined);

lines.on('close', () => {
  const processes = [...entries.values()].filter(([kind]) => kind === 'pid');
  for (const [, pid, start] of processes) signal(pid, start, 'SIGINT');
  setTimeout(() => {
    for (const [, pid, start] of processes) signal(pid, start, 'SIGKILL');
    for (const [kind, path] of entries.values()) if (kind === 'dir') rmSync(path, { recursive: true, force: true });
  }, 4_000);
});

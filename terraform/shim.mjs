/**
 * The shim: a small process that outlives its worker and supervises one Terraform at a time (design §2). Plain JavaScript
 * without dependencies, because it has to start fast and in whatever way the worker itself was started.
 *
 * Input: one JSON command per line on stdin (terraform/shims.ts writes them). The end of stdin means that the worker is
 * gone: Terraform goes on, and the shim ends after it. Everything else passes through files in the run's directory, so that
 * the next worker can take over: terraform/run-directory.ts names and reads them.
 */
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { setPriority, uptime } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const lookEveryMs = 250;
const growthEveryMs = 40;
/** So many new threads of the machine within that time are worth a count. */
const suddenThreads = 200;
/** A build that prints more than this between two looks (4 MiB/s) has to leave the processor to its neighbours. */
const noisyBytes = 1024 * 1024;
/** Output that no worker has taken away yet: beyond it Terraform has to wait. */
const maxOutputBytes = 256 * 1024 * 1024;
/**
 * What a build may print at once (twice what its log holds), and between two looks in the long run (256 KiB/s): else it has to
 * wait. What Terraform itself logs goes to stderr and counts not.
 */
const outputAtOnceBytes = 2 * 1024 * 1024;
const outputPerLookBytes = 64 * 1024;
/** After that many looks (5 s) it may go on for one, however much it has printed: a single huge line is no flood. */
const longestHold = 20;

/** What is supervised: command, pid (= process group = session) and what was seen of it. One at a time but for moments. */
const active = new Set();
let workerGone = false;

const writeWhole = (path, value) => {
  writeFileSync(`${path}.draft`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${path}.draft`, path);
};

const signal = (pid, name) => {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
};

/** True for the first who says so in this run's directory; a full disk must not keep anybody from stopping. */
const markFirst = (outputDir, name, reason) => {
  try {
    writeFileSync(join(outputDir, name), reason, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (err) {
    return err.code !== 'EEXIST';
  }
};

/** Fields of `/proc/<pid>/stat` from the state on; null when the process is gone or a zombie. */
function statOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : fields;
  } catch {
    return null;
  }
}

const membersOf = (groupId) =>
  readdirSync('/proc').filter((name) => /^\d+$/.test(name) && statOf(name)?.[2] === String(groupId));

/** Asks Terraform to stop, once in its life whoever asks: a second SIGINT would make it abandon running calls. */
function interrupt({ command, pid }, reason) {
  if (!markFirst(command.outputDir, 'interrupted', reason)) return;
  // One that is held back has to wake up for it.
  if (statOf(pid)?.[0] === 'T') signal(-pid, 'SIGCONT');
  signal(pid, 'SIGINT');
}

function kill({ command, pid }, reason) {
  markFirst(command.outputDir, 'killed', reason);
  signal(-pid, 'SIGKILL');
}

/**
 * Whether the lease that the worker wrote last still holds, on a clock that also runs while the machine sleeps. A job's
 * directory that is gone has nobody left who could want this run.
 */
function leaseState({ leaseFile, killGraceMs }) {
  if (leaseFile === null) return 'valid';
  try {
    const overSinceMs = Math.round(uptime() * 1000) - JSON.parse(readFileSync(leaseFile, 'utf8')).until;
    return overSinceMs < 0 ? 'valid' : overSinceMs < killGraceMs ? 'over' : 'dead';
  } catch {
    return existsSync(dirname(leaseFile)) ? 'valid' : 'dead';
  }
}

function watchLease(run) {
  const state = leaseState(run.command);
  if (state !== 'valid') interrupt(run, 'lease-over');
  if (state === 'dead') kill(run, 'lease-over');
}

/** When the disk gets tight: free the bytes kept for Terraform's last state, and let it stop while it can still write. */
function watchDisk(run) {
  const { minFreeBytes, reserveFile, cwd } = run.command;
  if (minFreeBytes === 0) return;
  const { bavail, bsize } = statfsSync(cwd);
  if (bavail * bsize >= minFreeBytes) return;
  if (reserveFile !== null) rmSync(reserveFile, { force: true });
  interrupt(run, 'disk-full');
}

/** Bytes that the worker has taken away from the front of an output file (terraform/output-rotation.ts). */
function takenAway(path) {
  try {
    return JSON.parse(readFileSync(`${path}.base`, 'utf8')).base;
  } catch {
    return 0;
  }
}

/**
 * A noisy build yields the processor and is held back, so that its worker has time for others; one whose output nobody takes
 * away waits. Whoever was asked to stop is no longer held.
 */
function watchOutput(run) {
  const { outputDir } = run.command;
  const sizeOf = (name) => statSync(join(outputDir, name), { throwIfNoEntry: false })?.size ?? 0;
  const stdout = sizeOf('stdout.log');
  const bytes = stdout + sizeOf('stderr.log');
  const printed = stdout + takenAway(join(outputDir, 'stdout.log'));
  const grown = printed - run.printed;
  run.printed = printed;
  const mayPrint = Math.min(outputAtOnceBytes, run.mayPrint + outputPerLookBytes - grown);
  run.mayPrint = Math.max(mayPrint, -longestHold * outputPerLookBytes);
  if (grown > noisyBytes) yieldProcessor(run.pid);
  const hold = (bytes > maxOutputBytes || run.mayPrint < 0) && !existsSync(join(outputDir, 'interrupted'));
  if (hold) signal(-run.pid, 'SIGSTOP');
  // The worker may hold it as well, for a moment.
  else if (run.held && !existsSync(join(outputDir, 'held'))) signal(-run.pid, 'SIGCONT');
  else return;
  run.held = hold;
}

/** Lowest priority for all threads of the group, also where the kernel schedules by session. */
function yieldProcessor(groupId) {
  writeFileSync(`/proc/${groupId}/autogroup`, '19');
  for (const pid of membersOf(groupId))
    for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), 19);
}

/** Threads of the machine: one cheap read. */
const countThreads = () => Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[3]?.split('/')[1]);

/** A fork bomb ends its own build. Only when the machine has many threads is the group counted. */
function watchProcesses(run) {
  const { maxProcesses } = run.command;
  if (maxProcesses === 0 || !(countThreads() > maxProcesses)) return;
  if (membersOf(run.pid).length > maxProcesses) kill(run, 'too-many-processes');
}

/** Between two looks a fork bomb could take the whole machine, and the next look would come late. */
function watchGrowth(run) {
  try {
    const threads = countThreads();
    if (threads - run.threads > suddenThreads) watchProcesses(run);
    run.threads = threads;
  } catch {
    // A system without /proc.
  }
}

function look(run) {
  for (const watch of [watchLease, watchDisk, watchOutput, watchProcesses]) {
    try {
      watch(run);
    } catch {
      // A process that just ended, a system without /proc: what cannot be watched goes on unwatched.
    }
  }
}

function supervise(command, pid) {
  const run = { command, pid, printed: 0, mayPrint: outputAtOnceBytes, held: false, threads: 0 };
  run.timer = setInterval(() => look(run), lookEveryMs);
  run.growthTimer = setInterval(() => watchGrowth(run), growthEveryMs);
  active.add(run);
  return run;
}

function end(run, exit) {
  clearInterval(run.timer);
  clearInterval(run.growthTimer);
  // Providers and children of local-exec survive the end of Terraform alone.
  signal(-run.pid, 'SIGKILL');
  active.delete(run);
  finish(run.command, exit);
}

function finish({ outputDir }, exit) {
  try {
    writeWhole(join(outputDir, 'exit.json'), { ...exit, endedAt: new Date().toISOString() });
  } catch {
    // Whoever waits sees that the process is gone.
  }
  endWithWorker();
}

function endWithWorker() {
  if (workerGone && active.size === 0) process.exit(0);
}

/**
 * Becomes Terraform, and before that says who it is: two lines, its own stat and the machine's boot id. With noclobber, so
 * that a worker which has closed this run first keeps it from ever beginning.
 */
const becomeTerraform = `
set -C
{ read -r stat < /proc/$$/stat; read -r boot < /proc/sys/kernel/random/boot_id; } 2>/dev/null
printf '%s\\n%s\\n' "\${stat:-$$}" "$boot" > "$1/process" || exit 125
[ -z "$2" ] || echo $$ >> "$2/cgroup.procs" || exit 125
ulimit -c 0
ulimit -n "$3" 2>/dev/null
shift 3
unset stat boot
exec "$@"`;

/**
 * Starts Terraform. Making the run's directory is the claim: a number that another worker has closed is not used. What cannot
 * be written for any other reason, a full disk above all, ends the shim: whoever waits for the run sees that at once.
 */
function start(command) {
  const { outputDir, binary, args, cwd, env, meta, cgroup, openFiles } = command;
  try {
    mkdirSync(outputDir, { mode: 0o700 });
  } catch (err) {
    if (err.code === 'EEXIST') return;
    throw err;
  }
  const shim = { pid: process.pid, startTime: statOf(process.pid)?.[19] ?? null };
  writeWhole(join(outputDir, 'run.json'), { ...meta, shim });
  if (leaseState(command) !== 'valid') return finish(command, { code: null, signal: null, error: 'the lease is over' });
  const stdout = openSync(join(outputDir, 'stdout.log'), 'a', 0o600);
  const stderr = openSync(join(outputDir, 'stderr.log'), 'a', 0o600);
  const child = spawn('/bin/sh', ['-c', becomeTerraform, 'sh', outputDir, cgroup ?? '', openFiles, binary, ...args], {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', stdout, stderr],
  });
  closeSync(stdout);
  closeSync(stderr);
  if (child.pid === undefined) {
    child.once('error', (err) => finish(command, { code: null, signal: null, error: err.message }));
    return;
  }
  const run = supervise(command, child.pid);
  child.once('exit', (code, name) => end(run, { code, signal: name }));
}

/** Watches over a Terraform whose own shim is gone. Its exit code nobody will know. */
function adopt(command) {
  const run = supervise(command, command.pid);
  const poll = setInterval(() => {
    if (statOf(command.pid)?.[19] === command.startTime) return;
    clearInterval(poll);
    end(run, { code: null, signal: null });
  }, lookEveryMs);
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    if (command.type === 'start') start(command);
    else adopt(command);
  })
  .on('close', () => {
    workerGone = true;
    endWithWorker();
  });

// A terminal's or a service manager's signal to everybody is meant for the worker.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE']) process.on(name, () => undefined);

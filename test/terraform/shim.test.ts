import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { followRun } from '../../terraform/follow-run.ts';
import { processStat } from '../../terraform/process-identity.ts';
import {
  closeRun,
  interruptRun,
  killRun,
  processFile,
  readMarks,
  readRunMeta,
  readRunState,
  stderrFile,
  stdoutFile,
} from '../../terraform/run-directory.ts';
import { type Shims, type StartCommand, createShims } from '../../terraform/shims.ts';
import { waitFor } from '../support/wait.ts';
import {
  type ScriptRun,
  has,
  jobDirectory,
  membersOf,
  pidOf,
  scriptCommand,
  startCommand,
} from './support/shim-runs.ts';
import { scratchDir } from './support/terraform-runs.ts';

let shims: Shims;
let dir: string;
let job: ReturnType<typeof jobDirectory>;
beforeAll(() => {
  shims = createShims();
});
afterAll(() => shims.close());
beforeEach(async () => {
  dir = await scratchDir();
  job = jobDirectory(dir);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const run = (script: string, changes: Partial<StartCommand> = {}): ScriptRun =>
  startCommand(shims, { ...scriptCommand(dir, job.next(), script), ...changes });
const exit = (code: number | null, signal: string | null = null) => ({
  kind: 'ended',
  exit: { code, signal, error: null },
});
const forever = 'while :; do sleep 0.05; done';
const shimOf = (outputDir: string): number => readRunMeta(outputDir)!.shim.pid;
const lease = (msFromNow: number): string => {
  const path = join(job.job, 'lease');
  writeFileSync(path, JSON.stringify({ until: Math.round(uptime() * 1000) + msFromNow }));
  return path;
};

describe('a run', () => {
  test('writes its output to files in a directory of the owner, and gives the exit code', async () => {
    const { outputDir, end } = run('echo out; echo err >&2; cat; exit 3');
    expect(await end).toEqual(exit(3));
    expect(readFileSync(stdoutFile(outputDir), 'utf8')).toBe('out\n');
    expect(readFileSync(stderrFile(outputDir), 'utf8')).toBe('err\n');
    expect(statSync(outputDir).mode & 0o777).toBe(0o700);
    for (const path of [stdoutFile(outputDir), stderrFile(outputDir)]) expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('sees the given environment and nothing else', async () => {
    const { outputDir, end } = run('env');
    await end;
    const names = readFileSync(stdoutFile(outputDir), 'utf8')
      .split('\n')
      .map((line) => line.split('=')[0] ?? '');
    expect(names.filter((name) => !['PATH', 'PWD', 'SHLVL', '_', 'OLDPWD', ''].includes(name))).toEqual([]);
  });

  test('is a session of its own, recorded with pid and start time, and may open so many files', async () => {
    const { outputDir, end } = run('ulimit -n; ulimit -c; sleep 60', { openFiles: 300 });
    const pid = await pidOf(outputDir);
    const found = processStat(pid);
    expect(found).toMatchObject({ groupId: pid, sessionId: pid });
    expect(readRunState(outputDir)).toEqual({ kind: 'running', process: { pid, startTime: found?.startTime } });
    await waitFor('the limits', async () => has(stdoutFile(outputDir), '300\n0\n'));
    killRun(outputDir, 'test');
    expect(await end).toEqual(exit(null, 'SIGKILL'));
    expect(readMarks(outputDir).killed).toBe('test');
  });

  test('leaves no child behind, whatever way it ends', async () => {
    const { outputDir, end } = run('sh -c "trap \'\' INT TERM; sleep 60" & sleep 0.3; exit 0');
    const pid = await pidOf(outputDir);
    expect(await end).toEqual(exit(0));
    await waitFor('the end of the group', async () => membersOf(pid).length === 0);
  });

  test('gets one interrupt only, however often it is asked, and its children get none', async () => {
    const { outputDir, end } = run(
      [
        'trap "echo interrupted; count=x$count" INT',
        '(trap "echo child; exit" INT; while :; do sleep 0.05; done) &',
        'echo ready',
        'n=0; while [ $n -lt 20 ]; do sleep 0.05; n=$((n+1)); done',
        'echo end $count',
      ].join('\n'),
    );
    await waitFor('the script', async () => has(stdoutFile(outputDir), 'ready'));
    for (let i = 0; i < 5; i += 1) interruptRun(outputDir, 'canceled');
    await end;
    interruptRun(outputDir, 'late');
    killRun(outputDir, 'late');
    expect(readFileSync(stdoutFile(outputDir), 'utf8')).toBe('ready\ninterrupted\nend x\n');
    expect(readMarks(outputDir)).toMatchObject({ interrupted: 'canceled' });
  });

  test.each([
    ['the binary is missing', { binary: '/nowhere/terraform' }],
    ['the binary is no program', { binary: '/etc/passwd' }],
    ['the directory is missing', { cwd: '/nowhere' }],
  ])('that cannot start is a failure with a reason: %s', (_title, wrong) => {
    expect(() => shims.start({ ...scriptCommand(dir, job.next(), ''), ...wrong })).toThrow(DomainError);
  });

  test('of many at once has a shim of its own, which serves the next one afterwards', async () => {
    const codes = async () => {
      const runs = [0, 1, 2, 3].map((code) => run(`sleep 0.5; exit ${code}`));
      const shimPids = await Promise.all(
        runs.map(({ outputDir }) => pidOf(outputDir).then(() => readRunMeta(outputDir)!.shim.pid)),
      );
      expect(await Promise.all(runs.map(({ end }) => end))).toEqual([0, 1, 2, 3].map((code) => exit(code)));
      return new Set(shimPids);
    };
    const first = await codes();
    expect(first.size).toBe(4);
    expect([...(await codes())].filter((pid) => first.has(pid)).length).toBeGreaterThanOrEqual(3);
  });
});

describe('a run whose worker dies', () => {
  /** A worker of its own that starts the script and is killed. */
  async function startAndDie(script: string): Promise<string> {
    const command = scriptCommand(dir, job.next(), script);
    const source = `
      import { createShims } from ${JSON.stringify(new URL('../../terraform/shims.ts', import.meta.url).href)};
      createShims().start(${JSON.stringify(command)});
      setInterval(() => undefined, 1000);`;
    const entry = join(dir, 'worker.mts');
    writeFileSync(entry, source);
    const worker = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), entry], { stdio: 'inherit' });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    await pidOf(command.outputDir);
    worker.kill('SIGKILL');
    await ended;
    return command.outputDir;
  }

  test('goes on, and the next worker learns how it ended', async () => {
    const outputDir = await startAndDie('sleep 1; echo done; exit 7');
    const pid = await pidOf(outputDir);
    const shim = shimOf(outputDir);
    expect(await followRun(shims, scriptCommand(dir, outputDir, ''))).toEqual(exit(7));
    expect(readFileSync(stdoutFile(outputDir), 'utf8')).toBe('done\n');
    expect(processStat(pid)).toBeNull();
    await waitFor('the end of its shim', async () => processStat(shim) === null);
  });

  test('gets a new shim when its own is killed too; its exit code nobody knows then', async () => {
    const outputDir = await startAndDie(`echo ready; ${forever}`);
    const pid = await pidOf(outputDir);
    process.kill(shimOf(outputDir), 'SIGKILL');
    const end = followRun(shims, { ...scriptCommand(dir, outputDir, ''), leaseFile: lease(600) });
    // The new shim keeps the lease as well.
    await waitFor('the interrupt', async () => readMarks(outputDir).interrupted === 'lease-over');
    expect(await end).toEqual(exit(null));
    expect(membersOf(pid)).toEqual([]);
  });

  test('is lost when everything is killed, together with what it started', async () => {
    const outputDir = await startAndDie(`sh -c "${forever}" & ${forever}`);
    const pid = await pidOf(outputDir);
    await waitFor('its child', async () => membersOf(pid).length >= 2);
    for (const victim of [shimOf(outputDir), pid]) process.kill(victim, 'SIGKILL');
    await waitFor('the death', async () => processStat(pid) === null);
    expect(await followRun(shims, scriptCommand(dir, outputDir, ''))).toEqual({ kind: 'lost' });
    await waitFor('the end of the group', async () => membersOf(pid).length === 0);
  });
});

describe('the shim', () => {
  test('interrupts when the lease is over, and kills when the grace is', async () => {
    const { outputDir, end } = run(`trap 'echo interrupted' INT; echo ready; ${forever}`, {
      leaseFile: lease(1_500),
      killGraceMs: 700,
    });
    await waitFor('the script', async () => has(stdoutFile(outputDir), 'ready'));
    expect(await end).toEqual(exit(null, 'SIGKILL'));
    expect(readFileSync(stdoutFile(outputDir), 'utf8')).toBe('ready\ninterrupted\n');
    expect(readMarks(outputDir)).toEqual({ interrupted: 'lease-over', killed: 'lease-over' });
  });

  test('lets it run on while the lease is renewed', async () => {
    const { end } = run('sleep 2; exit 0', { leaseFile: lease(1_000) });
    const renewal = setInterval(() => lease(1_000), 200);
    expect(await end).toEqual(exit(0));
    clearInterval(renewal);
  });

  test('that was asleep beyond lease and grace kills at once', async () => {
    const { outputDir, end } = run(`trap '' INT; ${forever}`, { leaseFile: lease(60_000), killGraceMs: 1_000 });
    await pidOf(outputDir);
    lease(-5_000);
    expect(await end).toEqual(exit(null, 'SIGKILL'));
  });

  test('starts nothing without a valid lease', async () => {
    const { outputDir, end } = run('echo never', { leaseFile: lease(-1) });
    expect(await end).toEqual({ kind: 'never-started' });
    expect(has(stdoutFile(outputDir), 'never')).toBe(false);
  });

  test('kills what runs in a directory that was removed', async () => {
    const { outputDir } = run(forever, { leaseFile: lease(60_000) });
    const pid = await pidOf(outputDir);
    rmSync(job.job, { recursive: true, force: true });
    await waitFor('the end', async () => processStat(pid) === null, 5_000);
  });

  test('interrupts when the disk gets tight, and gives the reserve up', async () => {
    const reserveFile = join(dir, 'reserve');
    writeFileSync(reserveFile, 'x');
    const { outputDir, end } = run(`trap 'exit 4' INT; ${forever}`, { minFreeBytes: 2 ** 60, reserveFile });
    expect(await end).toEqual(exit(4));
    expect(readMarks(outputDir)).toEqual({ interrupted: 'disk-full', killed: null });
    expect(statSync(reserveFile, { throwIfNoEntry: false })).toBeUndefined();
  });

  test('holds back what prints without end, until it is asked to stop', async () => {
    const { outputDir, end } = run(`trap 'exit 4' INT; yes 'an endless log' & wait`);
    const pid = await pidOf(outputDir);
    await waitFor('the group to be held', async () => processStat(pid)?.stopped === true);
    interruptRun(outputDir, 'canceled');
    expect(await end).toEqual(exit(4));
  });

  test('kills a fork bomb with everything that it has made', async () => {
    const { outputDir, end } = run('bomb() { sleep 30 & sleep 30 & bomb; }; bomb', { maxProcesses: 300 });
    const pid = await pidOf(outputDir);
    expect(await end).toMatchObject({ kind: 'ended', exit: { signal: 'SIGKILL' } });
    expect(readMarks(outputDir).killed).toBe('too-many-processes');
    await waitFor('the end of the group', async () => membersOf(pid).length === 0);
  });

  test('ends at once when it cannot write', async () => {
    writeFileSync(join(dir, 'no-directory'), '');
    const { end } = startCommand(shims, scriptCommand(dir, join(dir, 'no-directory', '1'), 'echo never'));
    await expect(end).rejects.toThrow('ENOTDIR');
  });

  test('puts Terraform into its cgroup', async () => {
    const cgroup = join(dir, 'cgroup');
    mkdirSync(cgroup);
    const { outputDir, end } = run('echo $$', { cgroup });
    await end;
    expect(readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')).toBe(readFileSync(stdoutFile(outputDir), 'utf8'));
    const missing = run('echo never', { cgroup: join(dir, 'nowhere') });
    expect(await missing.end).toEqual(exit(125));
  });
});

describe('a number that was closed', () => {
  test('is never used, also by a worker that believed it was its own', async () => {
    const outputDir = job.next();
    expect(closeRun(outputDir)).toBe(true);
    expect(closeRun(outputDir)).toBe(true);
    const { end } = startCommand(shims, scriptCommand(dir, outputDir, 'echo never'));
    expect(await end).toEqual({ kind: 'never-started' });
    expect(readRunState(outputDir)).toEqual({ kind: 'closed' });
  });

  test('is not one that Terraform has begun', async () => {
    const { outputDir, end } = run('sleep 0.5; exit 5');
    await pidOf(outputDir);
    expect(closeRun(outputDir)).toBe(false);
    expect(await end).toEqual(exit(5));
    expect(closeRun(outputDir)).toBe(false);
  });

  test('belongs to exactly one side when both reach for it', async () => {
    for (let round = 0; round < 20; round += 1) {
      const outputDir = job.next();
      const { end } = startCommand(shims, scriptCommand(dir, outputDir, 'exit 0'));
      // The moments around the shim's own steps.
      await new Promise((done) => setTimeout(done, round % 10));
      const closed = closeRun(outputDir);
      const expected = closed ? { kind: 'never-started' } : exit(0);
      expect(await end).toEqual(expected);
    }
  });
});

describe('who a run is', () => {
  test('is not what only has the same pid', async () => {
    const { outputDir, end } = run('sleep 60');
    const pid = await pidOf(outputDir);
    const record = readFileSync(processFile(outputDir), 'utf8');
    const [stat = '', boot = ''] = record.split('\n');
    const fields = stat.split(' ');
    fields[21] = '1'; // starttime, proc(5)
    for (const other of [`${fields.join(' ')}\n${boot}\n`, `${stat}\nanother boot\n`, `x\n${boot}\n`]) {
      writeFileSync(processFile(outputDir), other);
      expect(readRunState(outputDir)).toEqual({ kind: 'lost', remains: null });
      killRun(outputDir, 'test');
      expect(membersOf(pid)).toContain(pid);
    }
    writeFileSync(processFile(outputDir), record);
    killRun(outputDir, 'test');
    await end;
  });

  test('is also a group whose leader is gone', async () => {
    const { outputDir, end } = run('sleep 60 & echo ready; sleep 60');
    const pid = await pidOf(outputDir);
    await waitFor('its child', async () => membersOf(pid).length >= 2);
    process.kill(shimOf(outputDir), 'SIGSTOP');
    process.kill(pid, 'SIGKILL');
    await waitFor('the end of the leader', async () => processStat(pid) === null);
    expect(readRunState(outputDir)).toEqual({ kind: 'lost', remains: pid });
    killRun(outputDir, 'test');
    await waitFor('the end of the group', async () => membersOf(pid).length === 0);
    process.kill(shimOf(outputDir), 'SIGCONT');
    expect(await end).toEqual(exit(null, 'SIGKILL'));
  });

  test('is not known from a record that cannot be read', () => {
    const outputDir = job.next();
    mkdirSync(outputDir);
    expect(readRunState(outputDir)).toEqual({ kind: 'starting' });
    writeFileSync(processFile(outputDir), '123 (sh) S');
    expect(readRunState(outputDir)).toEqual({ kind: 'starting' });
    expect(readRunMeta(outputDir)).toBeNull();
  });
});

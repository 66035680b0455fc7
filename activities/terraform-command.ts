import { readFile } from 'node:fs/promises';
import type { LogPosition } from '../db/queries/job-logs.ts';
import { type ApplyProgress, cutShort } from '../terraform/apply-progress.ts';
import { type RunEnd, followRun } from '../terraform/follow-run.ts';
import { createOutputReader, readStderrLine } from '../terraform/output.ts';
import { hold, letGoOn, settleOutput } from '../terraform/output-rotation.ts';
import { type RunMeta, readMarks, stderrFile, stdoutFile } from '../terraform/run-directory.ts';
import { tailLines } from '../terraform/tail.ts';
import { diskFullText, isDiskTight } from './disk-space.ts';
import { type JobRun, RunFailed, RunStopped, assertRunning, guardOf, nextRunDirectory, stopReason } from './job-run.ts';
import { superviseStops } from './stop-terraform.ts';

export interface TerraformCommand {
  readonly stage: RunMeta['stage'];
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly name: string;
  /** It changes the world: a worker that leaves lets it go on, the next one awaits it. */
  readonly resumable?: boolean;
  /** State that it begins with. */
  readonly input?: RunMeta['input'];
}

/** A Terraform that was started, by this worker or by an earlier one of this host. */
export interface BegunRun {
  readonly outputDir: string;
  readonly cwd: string;
  readonly meta: RunMeta;
  /** Up to where its output has become log rows. */
  readonly position: LogPosition;
}

export interface FollowOptions {
  /** Called before a line is read that may carry what a resource or provisioner printed. */
  readonly beforeLine?: () => void;
  /** Creations that are not safe yet, for the case that this host is lost. */
  readonly unsettled?: (progress: ApplyProgress) => readonly string[];
}

export interface FollowedRun {
  readonly end: RunEnd;
  /** The first error that Terraform printed, masked. */
  readonly firstError: string | null;
  readonly progress: ApplyProgress;
}

/** Terraform was cut off: killed from outside, or its machine went down. What it began may be half done. */
export class TerraformLost extends Error {
  readonly begun: BegunRun;
  readonly progress: ApplyProgress;
  constructor(message: string, begun: BegunRun, progress: ApplyProgress) {
    super(message);
    this.name = 'TerraformLost';
    this.begun = begun;
    this.progress = progress;
  }
}

/** Far more than the log keeps: only builds without end come to it. */
const takeAwayAtBytes = 64 * 1024 * 1024;

/** What a provisioner prints: nothing but log, of which there may be any amount. */
const isProvisionerText = (line: string): boolean => line.includes('"type":"provision_progress"');
/** Everything but the hooks of resources, which say nothing but addresses and ids. */
const mayPrintValues = (line: string): boolean => !/"type":"(?:apply|refresh)_/.test(line);

/** Starts Terraform under a shim (design §2). Throws DomainError TERRAFORM_FAILED when it cannot be started. */
export function beginTerraform(run: JobRun, command: TerraformCommand): BegunRun {
  assertRunning(run);
  const { deps, job } = run;
  const { cwd, args, env, stage, name, resumable = false, input = null } = command;
  const outputDir = nextRunDirectory(run);
  const meta = { name, stage, attempt: job.attempt, startedAt: new Date().toISOString(), resumable, input };
  const { openFiles, cgroup } = deps.limits;
  const what = { binary: deps.terraform.path, args, env, meta, openFiles, cgroup: cgroup?.(job.id) ?? null };
  deps.shims.start({ ...guardOf(run, outputDir, cwd), ...what });
  return { outputDir, cwd, meta, position: { run: runNumber(outputDir), stdout: 0, stderr: 0 } };
}

export const runNumber = (outputDir: string): number => Number(outputDir.split('/').at(-1));

/**
 * Reads a run with `-json` output to its end: lines become log rows, hooks timings. Lines that an earlier worker has stored are
 * read again, but only for what they say. Throws RunStopped when this worker has to let go of it. Source: spec/02 §5.3.
 */
export async function followTerraform(run: JobRun, begun: BegunRun, options: FollowOptions = {}): Promise<FollowedRun> {
  const { log } = run;
  const { outputDir, meta, position } = begun;
  const { redact } = run.redactor;
  const logStage = log.currentStage();
  const startedAt = new Date(meta.startedAt);
  const reader = createOutputReader({ stage: meta.stage, logStage, startedAt, redact, shownOnce: run.shownOnce });
  const { unsettled } = options;
  log.follow(position, unsettled && (() => unsettled(reader.progress())));
  const stops = superviseStops(run, begun);
  const ended = followRun(run.deps.shims, guardOf(run, outputDir, begun.cwd), stops.letGo);
  settleOutput(outputDir);
  const rotation = {
    atBytes: takeAwayAtBytes,
    hold: () => hold(outputDir),
    release: () => letGoOn(outputDir),
    // While the database is away the output has to stay where it is.
    stored: () =>
      log.flush().then(
        () => true,
        () => false,
      ),
  };
  const tail = { until: ended, signal: stops.letGo, rotation };
  try {
    const stdout = (async () => {
      for await (const { line, endOffset } of tailLines(stdoutFile(outputDir), tail)) {
        if (log.overflowed() && isProvisionerText(line)) continue;
        if (mayPrintValues(line)) options.beforeLine?.();
        const { lines } = reader.push(line);
        if (endOffset > position.stdout) await log.add(lines, { stream: 'stdout', end: endOffset });
      }
    })();
    const stderr = (async () => {
      for await (const { line, endOffset } of tailLines(stderrFile(outputDir), {
        ...tail,
        fromOffset: position.stderr,
      }))
        await log.add(readStderrLine(line, { logStage, createdAt: new Date(), redact }), {
          stream: 'stderr',
          end: endOffset,
        });
    })();
    const [end] = await Promise.all([ended, stdout, stderr]);
    const { timings, firstError } = reader.result(new Date());
    run.timings.push(...timings);
    const endedByItself = end.kind === 'ended' && end.exit.code !== null;
    const progress = reader.progress();
    return { end, firstError, progress: endedByItself ? progress : cutShort(progress) };
  } finally {
    stops.close();
  }
}

/**
 * Decides what the end of a followed run means. Returns when Terraform did its work; throws RunFailed with its first error,
 * RunStopped, or TerraformLost. Source: design §2, spec/02 §5.4.
 */
export function assertSucceeded(run: JobRun, begun: BegunRun, followed: FollowedRun): void {
  const { end, progress } = followed;
  const lost = (why: string) => new TerraformLost(why, begun, progress);
  if (end.kind === 'lost') throw lost('Terraform and its supervisor were killed');
  if (end.kind === 'never-started') {
    assertRunning(run);
    throw lost('Terraform was not started');
  }
  const { code, signal, error } = end.exit;
  if (error !== null) throw new RunFailed(`Terraform could not be started: ${error}`);
  const marks = readMarks(begun.outputDir);
  // A stop that came too late changes nothing; Terraform's own last word counts when nobody saw its exit code.
  if (code === 0 || (code === null && signal === null && progress.complete)) {
    if (run.stop.aborted) throw new RunStopped(stopReason(run)!);
    return;
  }
  const reason: string = marks.killed ?? marks.interrupted ?? '';
  const { forceCancelMs, buildTimeoutMs } = run.deps;
  switch (reason) {
    case 'canceled':
      if (marks.killed === null) throw new RunStopped('canceled');
      throw new RunFailed(
        `The cancel timed out: Terraform did not end within ${seconds(forceCancelMs)} and was killed. The last saved state is kept.`,
      );
    case 'timed-out':
      throw new RunFailed(timeLimitText(buildTimeoutMs, marks.killed === null ? null : forceCancelMs));
    case 'too-many-processes':
      throw new RunFailed(
        `The build started more than ${run.deps.limits.maxProcesses} processes at once and was killed. The last saved state is kept.`,
      );
    case 'disk-full':
      throw new RunFailed(
        diskFullText(
          'Terraform was asked to stop while its state could still be saved. Free space there, then build again.',
        ),
      );
    case 'lease-over':
      throw lost('The lease of the run ended before it could be renewed, and Terraform was stopped');
  }
  if (run.stop.aborted) throw new RunStopped(stopReason(run)!);
  if (signal !== null) throw lost(`Terraform was killed by ${signal}`);
  if (code === null && followed.firstError === null) throw lost('Terraform ended while nobody watched');
  const failure = followed.firstError ?? `terraform ${begun.meta.name} exited with status ${code}`;
  // Terraform may fail, also without a word, before its shim has seen the disk.
  throw new RunFailed(run.redactor.redact(isDiskTight(run.deps) ? diskFullText(failure) : failure));
}

const seconds = (ms: number): string =>
  ms >= 60_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 1000)} s`;

/** Error of a job that ran longer than it may. `killedAfterMs`: how long Terraform ignored the interrupt. */
export function timeLimitText(limitMs: number, killedAfterMs: number | null): string {
  const limit = limitMs >= 3_600_000 ? `${limitMs / 3_600_000} h` : seconds(limitMs);
  const killed =
    killedAfterMs === null
      ? ''
      : ` It did not end within ${seconds(killedAfterMs)} after the interrupt and was killed.`;
  return `The job took longer than its time limit of ${limit} and was stopped.${killed} The last saved state is kept.`;
}

/**
 * Runs one Terraform command that changes nothing, with `-json` output: its lines become log rows. Throws RunFailed with the
 * first error diagnostic, RunStopped after a stop.
 */
export async function runTerraformCommand(run: JobRun, command: TerraformCommand): Promise<void> {
  const begun = beginTerraform(run, command);
  try {
    assertSucceeded(run, begun, await followTerraform(run, begun));
  } catch (err) {
    // Nothing is half done by a command that only reads: what killed it is the error.
    throw err instanceof TerraformLost ? new RunFailed(`${err.message} (${command.name})`) : err;
  }
}

/** `terraform init` of a working directory; tried again for network faults, because nothing was created yet (spec/02 §5.2). */
export async function initialise(run: JobRun, cwd: string, env: Readonly<Record<string, string>>): Promise<void> {
  const args = ['init', '-no-color', '-input=false', '-json'];
  for (const [attempt, waitMs] of [2_000, 8_000, 0].entries()) {
    try {
      return await runTerraformCommand(run, { stage: 'init', name: `init-${attempt}`, args, cwd, env });
    } catch (err) {
      if (!(err instanceof RunFailed) || waitMs === 0 || !networkFault.test(err.message)) throw err;
      run.log.say('warn', `init failed for a network fault and is tried again in ${waitMs / 1000} s`);
      await new Promise((done) => setTimeout(done, waitMs));
    }
  }
}

const networkFault =
  /timeout|timed out|connection re(set|fused)|no such host|TLS handshake|EOF|temporary failure|50[234]/i;

/** Runs a Terraform command whose stdout is one document (`show -json`, `graph`) and returns it. Nothing of it is logged. */
export async function readTerraform(run: JobRun, command: Omit<TerraformCommand, 'stage'>): Promise<string> {
  const begun = beginTerraform(run, { ...command, stage: 'graph' });
  const { outputDir } = begun;
  const stops = superviseStops(run, begun);
  try {
    const end = await followRun(run.deps.shims, guardOf(run, outputDir, begun.cwd), stops.letGo);
    assertRunning(run);
    if (end.kind !== 'ended' || end.exit.code !== 0) {
      const stderr = await readFile(stderrFile(outputDir), 'utf8').catch(() => '');
      throw new RunFailed(run.redactor.redact(`terraform ${command.args[0] ?? ''} failed: ${stderr.slice(0, 2_000)}`));
    }
    return await readFile(stdoutFile(outputDir), 'utf8');
  } finally {
    stops.close();
  }
}

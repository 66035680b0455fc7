import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lease } from '../domain/jobs.ts';
import { createOutputReader, readStderrLine } from '../terraform/output.ts';
import { startTerraform, stderrFile, stdoutFile } from '../terraform/run.ts';
import { tailLines } from '../terraform/tail.ts';
import { type JobRun, RunFailed, RunStopped, assertRunning, stopReason } from './job-run.ts';

export interface TerraformCommand {
  readonly stage: 'init' | 'plan' | 'graph' | 'apply';
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Name of the output directory below the job's: one per Terraform run. */
  readonly name: string;
  /** Called before a line is read that may carry what a resource or provisioner printed. */
  readonly beforeLine?: () => void;
}

/** Everything but the hooks of resources, which say nothing but addresses and ids. */
const mayPrintValues = (line: string): boolean => !/"type":"(?:apply|refresh)_/.test(line);

/**
 * Runs one Terraform command with `-json` output: its lines become log rows, its hooks timings. A stop sends one SIGINT and,
 * after the grace, kills the group. Throws RunFailed with the first error diagnostic, RunStopped after a stop.
 * Source: spec/02 §5.3, §5.4.
 */
export async function runTerraformCommand(run: JobRun, command: TerraformCommand): Promise<void> {
  assertRunning(run);
  const { deps, log } = run;
  const startedAt = new Date();
  const { redact } = run.redactor;
  const logStage = log.currentStage();
  const reader = createOutputReader({ stage: command.stage, logStage, startedAt, redact, shownOnce: run.shownOnce });
  const outputDir = join(run.directory, 'runs', command.name);
  const { binary, args, cwd, env } = { ...command, binary: deps.terraform.path };
  const process = startTerraform({ binary, args, cwd, env, outputDir });
  let killed = false;
  let killTimer: NodeJS.Timeout | undefined;
  const interrupt = () => {
    process.interrupt();
    const graceMs = stopReason(run) === 'canceled' ? deps.forceCancelMs : lease.killGraceMs;
    killTimer = setTimeout(() => {
      killed = true;
      process.killGroup();
    }, graceMs);
  };
  run.stop.addEventListener('abort', interrupt, { once: true });
  if (run.stop.aborted) interrupt();
  try {
    const stdout = (async () => {
      for await (const { line, endOffset } of tailLines(stdoutFile(outputDir), {
        fromOffset: 0,
        until: process.exited,
      })) {
        if (mayPrintValues(line)) command.beforeLine?.();
        await log.add(reader.push(line).lines, endOffset);
      }
    })();
    const stderr = (async () => {
      for await (const { line } of tailLines(stderrFile(outputDir), { fromOffset: 0, until: process.exited }))
        await log.add(readStderrLine(line, { logStage, createdAt: new Date(), redact }));
    })();
    const [exit] = await Promise.all([process.exited, stdout, stderr]);
    const result = reader.result(new Date());
    run.timings.push(...result.timings);
    if (killed && stopReason(run) === 'canceled')
      throw new RunFailed(
        'The cancel timed out: Terraform did not end in time and was killed. The last saved state is kept.',
      );
    if (run.stop.aborted) throw new RunStopped(stopReason(run));
    if (exit.code !== 0)
      throw new RunFailed(
        run.redactor.redact(
          result.firstError ??
            `terraform ${command.args[0] ?? ''} ${exit.signal === null ? `exited with status ${exit.code}` : `was killed by ${exit.signal}`}`,
        ),
      );
  } finally {
    run.stop.removeEventListener('abort', interrupt);
    clearTimeout(killTimer);
  }
}

/** `terraform init` of a working directory; tried again for network faults, because nothing was created yet (spec/02 §5.2). */
export async function initialise(run: JobRun, cwd: string, env: Readonly<Record<string, string>>): Promise<void> {
  run.log.stage('Initializing Terraform Directory');
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
  assertRunning(run);
  const outputDir = join(run.directory, 'runs', command.name);
  const process = startTerraform({ ...command, binary: run.deps.terraform.path, outputDir });
  const interrupt = () => process.interrupt();
  run.stop.addEventListener('abort', interrupt, { once: true });
  try {
    const exit = await process.exited;
    if (run.stop.aborted) throw new RunStopped(stopReason(run));
    if (exit.code !== 0) {
      const stderr = await readFile(stderrFile(outputDir), 'utf8');
      throw new RunFailed(run.redactor.redact(`terraform ${command.args[0] ?? ''} failed: ${stderr.slice(0, 2_000)}`));
    }
    return await readFile(stdoutFile(outputDir), 'utf8');
  } finally {
    run.stop.removeEventListener('abort', interrupt);
  }
}

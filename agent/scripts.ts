import { Cron } from 'croner';
import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSchedule } from './cron.ts';
import { makeDirectories } from './directories.ts';
import { type Log, messageOf } from './log.ts';
import type { ManifestScript, ScriptTiming } from './protocol.ts';
import { type CommandResult, runCommand } from './run-command.ts';
import type { ScriptOutputs } from './script-output.ts';
import { interpreterOf } from './shebang.ts';
import { shellCommand } from './shell.ts';

export interface Scripts {
  readonly run: (stage: 'start' | 'stop') => Promise<readonly CommandResult[]>;
  readonly startCron: () => void;
  /** No further cron runs; running start and cron scripts are interrupted, then killed. */
  readonly interrupt: () => void;
}

export interface ScriptsOptions {
  readonly scripts: readonly ManifestScript[];
  readonly outputs: ScriptOutputs;
  readonly dataDir: string;
  readonly binDir: string;
  /** Asked for each run: secrets may have changed. */
  readonly env: () => Record<string, string>;
  readonly cwd: () => string;
  readonly killGraceMs: number;
  readonly openPipesMs: number;
  readonly report: (timing: ScriptTiming) => void;
  readonly log: Log;
}

const nanosecondsPerMs = 1_000_000;

/** The scripts of one instance. Source: spec/05 §11. */
export function createScripts(options: ScriptsOptions): Scripts {
  const { scripts, outputs, dataDir, report, log } = options;
  const interrupted = new AbortController();
  const running = new Set<string>();
  const jobs: { stop: () => void }[] = [];

  async function runScript(script: ManifestScript, stage: ScriptTiming['stage']): Promise<CommandResult> {
    const output = outputs.open(script);
    const scriptDir = join(dataDir, script.log_source_id);
    makeDirectories(scriptDir);
    const interpreter = interpreterOf(script.script);
    const env = { ...options.env(), CODER_SCRIPT_DATA_DIR: scriptDir, CODER_SCRIPT_BIN_DIR: options.binDir };
    const file = join(scriptDir, `script-${randomUUID()}`);
    if (interpreter !== null) writeFileSync(file, script.script.trimStart(), { mode: 0o700 });
    try {
      const result = await runCommand({
        ...(interpreter === null
          ? shellCommand(script.script, env)
          : { file: interpreter.file, args: [...interpreter.args, file] }),
        env,
        cwd: options.cwd(),
        timeoutMs: Math.ceil(script.timeout / nanosecondsPerMs),
        killGraceMs: options.killGraceMs,
        openPipesMs: options.openPipesMs,
        onOutput: output.onOutput,
        // Stop scripts are what an interruption is followed by.
        signal: stage === 'stop' ? undefined : interrupted.signal,
      });
      if (result.status === 'pipes_left_open')
        output.note(
          'warn',
          'the script ended, but a process it started keeps its output open: what that writes is no longer kept. Redirect the output of background processes, e.g. >/dev/null 2>&1',
        );
      if (result.status === 'timed_out')
        output.note('warn', `the script was stopped: its time limit of ${script.timeout / 1e9} s is over`);
      report({
        script_id: script.id,
        started_at: result.startedAt.toISOString(),
        ended_at: result.endedAt.toISOString(),
        exit_code: result.exitCode,
        stage,
        status: result.status,
      });
      return result;
    } finally {
      output.end();
      if (interpreter !== null) rmSync(file, { force: true });
    }
  }

  /** A disk that takes no script file fails the script, not the agent. */
  const runSafely = (script: ManifestScript, stage: ScriptTiming['stage']): Promise<CommandResult> =>
    runScript(script, stage).catch((err: unknown) => {
      log.warn(`${script.display_name}: ${messageOf(err)}`);
      return { status: 'exit_failure', exitCode: 127, startedAt: new Date(), endedAt: new Date() };
    });

  const tick = async (script: ManifestScript): Promise<void> => {
    if (running.has(script.id) || interrupted.signal.aborted) return;
    running.add(script.id);
    await runSafely(script, 'cron');
    running.delete(script.id);
  };

  return {
    run: (stage) =>
      Promise.all(
        scripts
          .filter((script) => (stage === 'start' ? script.run_on_start : script.run_on_stop))
          .map((script) => runSafely(script, stage)),
      ),
    startCron() {
      for (const script of scripts) {
        const schedule = parseSchedule(script.cron);
        if (schedule === null || interrupted.signal.aborted) continue;
        try {
          if (schedule.kind === 'every') {
            const timer = setInterval(() => void tick(script), schedule.everyMs);
            jobs.push({ stop: () => clearInterval(timer) });
          } else {
            const { pattern, timezone } = schedule;
            jobs.push(new Cron(pattern, { ...(timezone !== undefined && { timezone }) }, () => void tick(script)));
          }
        } catch (err) {
          log.warn(`${script.display_name}: bad cron expression: ${messageOf(err)}`);
        }
      }
    },
    interrupt() {
      for (const job of jobs.splice(0)) job.stop();
      interrupted.abort();
    },
  };
}

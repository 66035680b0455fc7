import { closeSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDirectories } from './directories.ts';
import { expandPath } from './expand.ts';
import { createLineSplitter } from './lines.ts';
import { type Log, messageOf } from './log.ts';
import type { LogSender } from './log-sender.ts';
import type { LogLevel, ManifestScript } from './protocol.ts';

export interface ScriptOutput {
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
  /** A line of the agent's own about this run. */
  readonly note: (level: LogLevel, text: string) => void;
  readonly end: () => void;
}

export interface ScriptOutputs {
  readonly open: (script: ManifestScript) => ScriptOutput;
}

export interface ScriptOutputsOptions {
  readonly logDir: string;
  readonly home: string;
  readonly processEnv: Readonly<Record<string, string | undefined>>;
  readonly logs: LogSender;
  readonly log: Log;
}

/** Where a script's log file lies. Source: spec/05 §11. */
export const logPathOf = (
  { log_path, log_source_id }: Pick<ManifestScript, 'log_path' | 'log_source_id'>,
  { logDir, home, processEnv }: Pick<ScriptOutputsOptions, 'logDir' | 'home' | 'processEnv'>,
): string =>
  log_path === ''
    ? join(logDir, `coder-script-${log_source_id}.log`)
    : expandPath(log_path, { home, env: processEnv, base: logDir });

/**
 * Every script's output goes to its file, byte for byte, and line by line to the server. A file is emptied by the first run
 * of an instance. Without the file (a full disk, a bad path) the script still runs.
 */
export function createScriptOutputs(options: ScriptOutputsOptions): ScriptOutputs {
  const { logs, log } = options;
  const begun = new Set<string>();

  function openFile(path: string): number | null {
    try {
      makeDirectories(dirname(path));
      const file = openSync(path, begun.has(path) ? 'a' : 'w', 0o600);
      begun.add(path);
      return file;
    } catch (err) {
      log.warn(`the log file ${path} cannot be written: ${messageOf(err)}`);
      return null;
    }
  }

  return {
    open(script) {
      const source = script.log_source_id;
      let file = openFile(logPathOf(script, options));
      const write = (bytes: Buffer): void => {
        if (file === null) return;
        try {
          writeSync(file, bytes);
        } catch (err) {
          log.warn(`the log file of ${script.display_name} is not written further: ${messageOf(err)}`);
          closeSync(file);
          file = null;
        }
      };
      const lines = {
        stdout: createLineSplitter((line) => logs.add(source, 'info', line)),
        stderr: createLineSplitter((line) => logs.add(source, 'error', line)),
      };
      return {
        onOutput(stream, chunk) {
          write(chunk);
          lines[stream].push(chunk);
        },
        note(level, text) {
          write(Buffer.from(`${text}\n`));
          logs.add(source, level, text);
        },
        end() {
          lines.stdout.end();
          lines.stderr.end();
          if (file !== null) closeSync(file);
          file = null;
        },
      };
    },
  };
}

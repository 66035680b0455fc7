import pico from 'picocolors';
import { createProgress } from '../toolchain/progress.ts';
import type { Progress } from '../toolchain/progress.ts';
import { describeError } from './errors.ts';
import type { CliError } from './errors.ts';

export interface OutputStream {
  readonly isTTY?: boolean | undefined;
  write(text: string | Buffer): unknown;
}
export interface OutputOptions {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** One JSON document on stdout and nothing else; everything that happens meanwhile goes to stderr. */
  readonly json: boolean;
  readonly noColor: boolean;
  readonly ci: boolean;
}
export type Colors = ReturnType<typeof pico.createColors>;

/** The two channels of a command: its result, and what it says while it works. */
export interface Output {
  readonly json: boolean;
  /** A person sits at the other end: spinners, prompts, opening a browser. */
  readonly interactive: boolean;
  readonly colors: Colors;
  readonly progress: Progress;
  /** The command's result: the value as JSON, or the text that `render` makes of it. Once per command. */
  result(value: unknown, render: () => string): void;
  /** The command's result as it is, a document of its own; the same with --json. Instead of `result`. */
  raw(bytes: Buffer): void;
  /** A line about what is happening. */
  say(text: string): void;
  fail(error: CliError): void;
}

export function createOutput({ stdout, stderr, json, noColor, ci }: OutputOptions): Output {
  const talk = json ? stderr : stdout;
  const terminal = talk.isTTY === true && !ci;
  const colors = pico.createColors(talk.isTTY === true && !noColor);
  const progress = createProgress({ write: (text) => talk.write(text), interactive: terminal });
  return {
    json,
    interactive: terminal && process.stdin.isTTY === true,
    colors,
    progress,
    result(value, render) {
      const text = json ? JSON.stringify(value, null, 2) : render();
      if (text !== '') stdout.write(`${text}\n`);
    },
    raw: (bytes) => void stdout.write(bytes),
    say: (text) => void talk.write(`${text}\n`),
    fail(error) {
      if (json) {
        const { message, detail, validations, next, status, exitCode, document } = error;
        const body = document ?? { error: { message, detail, validations, next, status, exit_code: exitCode } };
        stdout.write(`${JSON.stringify(body, null, 2)}\n`);
      }
      const mark = pico.createColors(stderr.isTTY === true && !noColor).red('error:');
      stderr.write(`${mark} ${describeError(error)}\n`);
    },
  };
}

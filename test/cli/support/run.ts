import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll } from 'vitest';
import { runCli } from '../../../cli/run.ts';
import { writeSession } from '../../../cli/session-file.ts';
import type { Session } from '../../../cli/session-file.ts';
import { loadCliConfig } from '../../../config.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as the one JSON document that --json promises. */
  // oxlint-disable-next-line typescript/no-explicit-any -- test documents are probed freely
  readonly json: () => any;
}
export interface Cli {
  readonly configDir: string;
  (...args: string[]): Promise<Outcome>;
  /** The same with something on standard input or further environment variables. */
  with(
    world: { readonly input?: string; readonly env?: NodeJS.ProcessEnv; readonly onOutput?: (text: string) => void },
    ...args: string[]
  ): Promise<Outcome>;
  /** Ctrl-C for the call that runs. */
  interrupt(): void;
}

const made: string[] = [];
afterAll(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** `berth` as a function, with a configuration directory of its own, piped output, and nothing of this process's environment. */
export function createCli(session?: Session): Cli {
  const configDir = mkdtempSync(join(tmpdir(), 'berth-cli-'));
  made.push(configDir);
  if (session !== undefined) writeSession(join(configDir, 'cli.json'), session);
  const interrupts = new Set<() => void>();
  const run: Cli['with'] = async ({ input, env = {}, onOutput }, ...args) => {
    const said = { stdout: '', stderr: '' };
    const channel = (name: keyof typeof said) => ({
      write(text: string | Buffer) {
        said[name] += text.toString();
        onOutput?.(text.toString());
      },
    });
    const stdin = new PassThrough();
    stdin.end(input ?? '');
    const code = await runCli(args, {
      config: loadCliConfig({ BERTH_CONFIG_DIR: configDir, ...env }),
      cwd: configDir,
      stdin: stdin as unknown as NodeJS.ReadStream,
      stdout: channel('stdout'),
      stderr: channel('stderr'),
      onInterrupt(callback) {
        interrupts.add(callback);
        return () => interrupts.delete(callback);
      },
    });
    return { code, ...said, json: () => JSON.parse(said.stdout) as unknown };
  };
  return Object.assign((...args: string[]) => run({}, ...args), {
    configDir,
    with: run,
    interrupt: () => {
      for (const callback of interrupts) callback();
    },
  });
}

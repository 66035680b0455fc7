import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAgentBundle } from '../../agent/bundle.ts';
import { workerEnvironment } from '../../config.ts';

/** A machine on which the bundled agent runs, as a workspace's would; its directory outlives the process. */
export interface AgentMachine {
  readonly home: string;
  start(agent: { url: string; token: string }): Promise<void>;
  /** Sends the signal and waits for the end. Answers the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>;
  /** Lines of a file below the home. */
  lines(name: string): string[];
  readonly pid: number | undefined;
  readonly stderr: string;
  remove(): void;
}

export function createAgentMachine(): AgentMachine {
  const root = mkdtempSync(join(tmpdir(), 'berth-agent-'));
  const home = join(root, 'home');
  mkdirSync(home);
  let child: ChildProcess | undefined;
  let ended: Promise<number | null> = Promise.resolve(null);
  let stderr = '';
  return {
    home,
    get pid() {
      return child?.pid;
    },
    get stderr() {
      return stderr;
    },
    async start({ url, token }) {
      const bundle = join(root, 'agent.mjs');
      writeFileSync(bundle, (await loadAgentBundle({ directory: join(tmpdir(), 'berth-test-data', 'agent') })).code);
      const started = spawn(process.execPath, [bundle], {
        cwd: home,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: {
          PATH: workerEnvironment()['PATH'],
          HOME: home,
          CODER_AGENT_URL: url,
          CODER_AGENT_TOKEN: token,
          CODER_AGENT_LOG_DIR: join(root, 'logs'),
          // Tests do not wait for a fleet to spread.
          CODER_AGENT_RECONNECT_SPREAD: '200ms',
        },
      });
      started.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      ended = new Promise((resolve) => started.once('exit', (code) => resolve(code)));
      child = started;
    },
    async end(signal) {
      child?.kill(signal);
      return ended;
    },
    lines: (name) =>
      existsSync(join(home, name))
        ? readFileSync(join(home, name), 'utf8')
            .split('\n')
            .filter((line) => line !== '')
        : [],
    remove() {
      child?.kill('SIGKILL');
      rmSync(root, { recursive: true, force: true });
    },
  };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { workerEnvironment } from '../../config.ts';
import { testTemporalAddress, testTerraform } from './services.ts';

export interface WorkerHost {
  /** Starts `workers/<name>.ts` on this host and waits until it says that it runs. */
  start(name: 'provisioner' | 'control'): Promise<WorkerProcess>;
  remove(): void;
}

export interface WorkerProcess {
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<void>;
}

/** One host: a work root and a data directory that its worker processes share over restarts. */
export function createWorkerHost(stack: { url: string; namespace: string; encryptionKey: string }): WorkerHost {
  const root = mkdtempSync(join(tmpdir(), 'berth-host-'));
  const terraform = testTerraform();
  const env: NodeJS.ProcessEnv = {
    ...workerEnvironment(),
    CODER_PG_CONNECTION_URL: stack.url,
    TEMPORAL_ADDRESS: testTemporalAddress(),
    TEMPORAL_NAMESPACE: stack.namespace,
    BERTH_TERRAFORM_PATH: terraform.path,
    BERTH_TF_CLI_CONFIG: terraform.cliConfig,
    BERTH_DATA_DIR: join(root, 'data'),
    BERTH_WORK_ROOT: join(root, 'work'),
    CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: stack.encryptionKey,
  };
  const running = new Set<ChildProcess>();
  return {
    async start(name) {
      const entry = fileURLToPath(new URL(`../../workers/${name}.ts`, import.meta.url));
      const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), entry], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      running.add(child);
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      let output = '';
      await new Promise<void>((resolve, reject) => {
        const read = (chunk: Buffer) => {
          output += chunk.toString();
          if (output.includes(`${name} worker runs`)) resolve();
        };
        child.stdout.on('data', read);
        child.stderr.on('data', read);
        child.once('exit', (code) => reject(new Error(`${name} worker ended with ${code}: ${output.slice(-2_000)}`)));
      });
      return {
        async end(signal) {
          child.kill(signal);
          await ended;
          running.delete(child);
        },
      };
    },
    remove() {
      for (const child of running) child.kill('SIGKILL');
      rmSync(root, { recursive: true, force: true });
    },
  };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, workerEnvironment } from '../../config.ts';
import { compileProcesses } from '../../faults/stack/compile.ts';
import { createProgress } from '../../toolchain/progress.ts';
import { testTemporalAddress, testTerraform } from './services.ts';

export interface WorkerHost {
  /** Starts `workers/<name>.ts` on this host and waits until it says that it runs. */
  start(name: 'provisioner' | 'control'): Promise<WorkerProcess>;
  /** Starts `api/server.ts` on a free port. */
  startApi(): Promise<WorkerProcess & { readonly url: string }>;
  remove(): void;
}

export interface WorkerProcess {
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<void>;
}

const silent = createProgress({ write: () => undefined, interactive: false });

/** One host: a work root and a data directory that its worker processes share over restarts. */
export function createWorkerHost(stack: {
  url: string;
  namespace: string;
  encryptionKey: string;
  /** Settings of this host's processes. */
  env?: Readonly<Record<string, string>>;
}): WorkerHost {
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
    CODER_HTTP_ADDRESS: '127.0.0.1:0',
    CODER_PROMETHEUS_ENABLE: 'false',
    CODER_API_RATE_LIMIT: '-1',
    ...stack.env,
  };
  const running = new Set<ChildProcess>();
  /** Runs a process entry until it logs what `ready` matches; answers the match. */
  async function launch(path: string, ready: RegExp): Promise<{ worker: WorkerProcess; match: RegExpExecArray }> {
    // Compiled once per state of the sources: from source each start would cost seconds.
    const compiled = await compileProcesses(loadConfig().BERTH_TOOLS_DIR, silent);
    const child = spawn(process.execPath, [join(compiled, path.replace(/\.ts$/, '.js'))], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    let output = '';
    const match = await new Promise<RegExpExecArray>((resolve, reject) => {
      const read = (chunk: Buffer) => {
        output += chunk.toString();
        const found = ready.exec(output);
        if (found !== null) resolve(found);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) => reject(new Error(`${path} ended with ${code}: ${output.slice(-2_000)}`)));
    });
    const worker: WorkerProcess = {
      async end(signal) {
        child.kill(signal);
        await ended;
        running.delete(child);
      },
    };
    return { worker, match };
  }
  return {
    start: async (name) => (await launch(`workers/${name}.ts`, new RegExp(`${name} worker runs`))).worker,
    async startApi() {
      const { worker, match } = await launch('api/server.ts', /"address":"(127\.0\.0\.1:\d+)"[^\n]*API is listening/);
      return { ...worker, url: `http://${match[1]}` };
    },
    remove() {
      for (const child of running) child.kill('SIGKILL');
      rmSync(root, { recursive: true, force: true });
    },
  };
}

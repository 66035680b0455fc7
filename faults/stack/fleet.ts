import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { workerEnvironment } from '../../config.ts';
import { freePort } from '../../toolchain/process.ts';
import type { ProcessIdentity } from '../../toolchain/process.ts';
import { processesBelow, signalAll } from '../process-table.ts';
import { type BerthProcess, createBerthProcess } from './berth-process.ts';
import type { Cleanup } from './cleanup.ts';
import type { Services } from './services.ts';

export type Settings = Readonly<Record<string, string>>;

export interface FleetOptions {
  readonly apis?: number;
  readonly controls?: number;
  /** Terraform runs at once per provisioner worker. */
  readonly slots: number;
  /** Of every process. */
  readonly settings?: Settings;
}

export interface HostOptions {
  readonly name: string;
  /** Provisioner workers that share its work root. */
  readonly workers?: number;
  /** Whether they are started at once (default), or later by the scenario. */
  readonly started?: boolean;
  /** Only of this host's workers. */
  readonly settings?: Settings;
  /** An existing directory; else one is made. */
  readonly workRoot?: string;
  /** Runs the worker: gets its command line, answers another one (namespaces). */
  readonly wrap?: (command: readonly string[]) => readonly string[];
}

/** Workers that share a work root are one host. */
export interface ProvisionerHost {
  readonly name: string;
  readonly workRoot: string;
  readonly workers: readonly BerthProcess[];
}

export interface Api extends BerthProcess {
  readonly url: string;
}

/** The running processes of Berth in one scenario. */
export interface Fleet {
  readonly apis: readonly Api[];
  readonly controls: readonly BerthProcess[];
  readonly slots: number;
  /** Makes a host; does not wait until its workers serve. */
  addHost(options: HostOptions): Promise<ProvisionerHost>;
  /** Kills everything, hosts included. */
  stop(): Promise<void>;
}

const ownSettings = /^(CODER|BERTH|TEMPORAL)_/;
const encryptionKey = Buffer.alloc(32, 7).toString('base64');

/** Starts APIs and control workers; does not wait until they serve. `adopt` is told of each process that is started. */
export async function startFleet(
  services: Services,
  { cleanup, adopt }: { cleanup: Cleanup; adopt: (identity: ProcessIdentity) => void },
  options: FleetOptions,
): Promise<Fleet> {
  const { root, compiled, postgres, temporal, terraform } = services;
  const inherited = Object.entries(workerEnvironment()).filter(([name]) => !ownSettings.test(name));
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(inherited),
    CODER_PG_CONNECTION_URL: postgres.address,
    TEMPORAL_ADDRESS: temporal.address,
    BERTH_TERRAFORM_PATH: terraform.path,
    BERTH_TF_CLI_CONFIG: terraform.cliConfig,
    BERTH_DATA_DIR: join(root, 'data'),
    CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: encryptionKey,
    CODER_PROMETHEUS_ENABLE: 'false',
    CODER_API_RATE_LIMIT: '-1',
    CODER_PROVISIONER_DAEMONS: String(options.slots),
    ...options.settings,
  };
  const processes: BerthProcess[] = [];
  const create = async (name: string, entry: string, more: Settings, wrap: HostOptions['wrap']) => {
    const address = `127.0.0.1:${await freePort()}`;
    const listen = entry === 'api/server.js' ? { CODER_HTTP_ADDRESS: address } : { BERTH_METRICS_ADDRESS: address };
    const plain = [process.execPath, join(compiled, entry)];
    const [command = '', ...args] = wrap?.(plain) ?? plain;
    const berthProcess = createBerthProcess({
      name,
      command,
      args,
      env: { ...env, ...listen, ...more },
      cwd: root,
      logFile: join(root, 'logs', `${name}.log`),
      readyUrl: `http://${address}/readyz`,
      adopt,
      onUnexpectedEnd: (how) => console.error(`  ${how}; started again`),
    });
    processes.push(berthProcess);
    return Object.assign(berthProcess, { url: `http://${address}` });
  };
  const stop = async () => {
    await Promise.all(processes.map((each) => each.end('SIGKILL')));
    // Terraform and its supervisors outlive their workers: that is what is tested.
    signalAll(processesBelow(join(root, 'hosts')), 'SIGKILL');
  };
  cleanup.add(stop);
  const several = async (count: number, name: string, entry: string) => {
    const numbers = Array.from({ length: count }, (_, index) => index + 1);
    const made = await Promise.all(numbers.map((number) => create(`${name}-${number}`, entry, {}, undefined)));
    await Promise.all(made.map((each) => each.start()));
    return made;
  };
  const apis = await several(options.apis ?? 1, 'api', 'api/server.js');
  const controls = await several(options.controls ?? 1, 'control', 'workers/control.js');
  return {
    apis,
    controls,
    slots: options.slots,
    async addHost({
      name,
      workers = 1,
      settings = {},
      workRoot = newDirectory(join(root, 'hosts'), name),
      wrap,
      started = true,
    }) {
      const own = { ...settings, BERTH_WORK_ROOT: workRoot, BERTH_HOST_NAME: name };
      const numbers = Array.from({ length: workers }, (_, index) => index + 1);
      const made = await Promise.all(
        numbers.map((number) => create(`${name}-${number}`, 'workers/provisioner.js', own, wrap)),
      );
      if (started) await Promise.all(made.map((worker) => worker.start()));
      return { name, workRoot, workers: made };
    },
    stop,
  };
}

function newDirectory(parent: string, name: string): string {
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, `${name}-`));
}

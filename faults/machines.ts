import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { workerEnvironment } from '../config.ts';
import { type RunningUnit, launch } from '../toolchain/running.ts';
import type { Context } from './context.ts';
import { machinesFile } from './pools.ts';

/** The machine of a workspace, on which the real agent runs in one process from the pool to the end. */
export interface Machine {
  readonly workspaceId: string;
  readonly token: string;
  /** What its start script wrote down at each beginning. */
  starts(): readonly string[];
  isRunning(): boolean;
  end(): Promise<void>;
}

/** Starts an agent for each machine that Terraform makes from now on. */
export interface Machines {
  of(workspaceId: string): Machine | undefined;
  stop(): Promise<void>;
}

const lookEveryMs = 50;

export function followMachines(context: Context): Machines {
  const file = machinesFile(context);
  const machines = new Map<string, Machine>();
  let offset = existsSync(file) ? statSync(file).size : 0;
  const look = async (): Promise<void> => {
    if (!existsSync(file)) return;
    const bytes = readFileSync(file).subarray(offset);
    const whole = bytes.subarray(0, bytes.lastIndexOf('\n') + 1);
    offset += whole.length;
    for (const line of whole.toString().split('\n').slice(0, -1)) {
      const [workspaceId = '', token = ''] = line.split(' ');
      // A second machine of a workspace is a finding of its own: the ledger has it.
      if (!machines.has(workspaceId)) machines.set(workspaceId, await startMachine(context, workspaceId, token));
    }
  };
  let looking = Promise.resolve();
  const timer = setInterval(() => void (looking = looking.then(look)), lookEveryMs);
  const stop = async (): Promise<void> => {
    clearInterval(timer);
    await looking;
    await Promise.all([...machines.values()].map((machine) => machine.end()));
  };
  context.stack.onStop(stop);
  return { of: (workspaceId) => machines.get(workspaceId), stop };
}

async function startMachine(context: Context, workspaceId: string, token: string): Promise<Machine> {
  const { stack, fleet } = context;
  const root = join(stack.services.root, 'agents', workspaceId);
  const home = join(root, 'home');
  mkdirSync(home, { recursive: true });
  const unit: RunningUnit = await launch({
    command: process.execPath,
    args: [join(stack.services.compiled, 'agent', 'agent.mjs')],
    cwd: home,
    logFile: join(root, 'agent.log'),
    env: {
      PATH: workerEnvironment()['PATH'],
      HOME: home,
      CODER_AGENT_URL: fleet.apis[0]!.url,
      CODER_AGENT_TOKEN: token,
      CODER_AGENT_LOG_DIR: join(root, 'logs'),
      // Nobody waits for a fleet to spread.
      CODER_AGENT_RECONNECT_SPREAD: '200ms',
    },
  });
  stack.adopt(unit.identity);
  let running = true;
  const ended = unit.exited.then(() => void (running = false));
  const starts = join(home, 'starts');
  return {
    workspaceId,
    token,
    starts: () => (existsSync(starts) ? readFileSync(starts, 'utf8').split('\n').slice(0, -1) : []),
    isRunning: () => running,
    async end() {
      if (running) process.kill(unit.identity.pid, 'SIGKILL');
      await ended;
    },
  };
}

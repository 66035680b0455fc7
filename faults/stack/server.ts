import { eventually } from '../patience.ts';
import { listProcesses, signalAll } from '../process-table.ts';
import type { ProcessIdentity } from '../../toolchain/process.ts';
import type { RunningUnit } from '../../toolchain/running.ts';

/** PostgreSQL or Temporal of our own, that can die and come back at the same address with its data. */
export interface Server {
  /** SIGKILL to the server and its children. Resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGQUIT to the server: what PostgreSQL calls an immediate shutdown. Resolves when it is gone. */
  quit(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Wraps `launch`, which starts the server on its data. Its address must stay: others hold it. Somebody else may have the port
 * for a moment, so a start at another address is undone and tried again.
 */
export async function createServer<Unit extends RunningUnit>(
  launch: () => Promise<Unit>,
  { addressOf, adopt }: { addressOf: (unit: Unit) => string; adopt: (identity: ProcessIdentity) => void },
): Promise<Server & { readonly address: string }> {
  let unit = await launch();
  adopt(unit.identity);
  const address = addressOf(unit);
  return {
    address,
    async kill() {
      const { pid } = unit.identity;
      signalAll(
        listProcesses().filter((entry) => entry.pid === pid || entry.parentPid === pid),
        'SIGKILL',
      );
      await unit.exited;
    },
    async quit() {
      process.kill(unit.identity.pid, 'SIGQUIT');
      await unit.exited;
    },
    async start() {
      const back = await eventually(
        async () => {
          unit = await launch();
          adopt(unit.identity);
          if (addressOf(unit) === address) return true;
          await unit.stop();
          return false;
        },
        { boundMs: 30_000, everyMs: 500 },
      );
      if (back === undefined) throw new Error(`the port of ${address} stayed taken`);
    },
    stop: () => unit.stop(),
  };
}

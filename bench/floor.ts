import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { fileURLToPath } from 'node:url';

export interface Floor {
  readonly client: Client;
  /** One workflow with one activity that does nothing; answers its id. */
  run(index: number): Promise<string>;
  stop(): Promise<void>;
}

/** The least that a durable job costs on this server, with a worker in this process. */
export async function startFloor(address: string, namespace: string): Promise<Floor> {
  const native = await NativeConnection.connect({ address });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection, namespace });
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: 'bench-floor',
    workflowsPath: fileURLToPath(new URL('./floor-workflow.ts', import.meta.url)),
    activities: { nothing: async () => undefined },
  });
  const running = worker.run();
  return {
    client,
    async run(index) {
      const workflowId = `bench-floor/${index}`;
      await client.workflow.execute('floor', { taskQueue: 'bench-floor', workflowId, args: [] });
      return workflowId;
    },
    async stop() {
      worker.shutdown();
      await running;
      await connection.close();
      await native.close();
    },
  };
}

/** The least that a Temporal worker takes: one workflow, one activity. */
import { NativeConnection, Worker } from '@temporalio/worker';

const connection = await NativeConnection.connect({ address: process.env.TEMPORAL_ADDRESS });
const worker = await Worker.create({
  connection,
  namespace: process.env.TEMPORAL_NAMESPACE,
  taskQueue: 'bench-bare',
  workflowBundle: { codePath: process.env.BERTH_BENCH_BUNDLE },
  activities: { nothing: async () => undefined },
});
process.on('SIGTERM', () => worker.shutdown());
await worker.run();
process.exit(0);

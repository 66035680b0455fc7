import type { Logger } from '../telemetry/logger.ts';

/** Runs a worker process: SIGTERM or SIGINT calls `stop` once; a second signal ends the process at once. */
export async function runProcess(
  logger: Logger,
  start: () => Promise<{ stop: () => void; done: Promise<void> }>,
): Promise<void> {
  try {
    const { stop, done } = await start();
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (stopping) process.exit(1);
      stopping = true;
      logger.info({ signal }, 'draining');
      stop();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    await done;
    logger.info('stopped');
    process.exit(0);
  } catch (err) {
    logger.fatal({ err }, 'worker failed');
    process.exit(1);
  }
}

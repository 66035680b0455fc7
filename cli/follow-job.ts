import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from './client.ts';
import { followLogs } from './follow-logs.ts';
import { createLogPrinter } from './log-printer.ts';
import type { Output } from './output.ts';
import type { JobLog, ProvisionerJob } from './types.ts';

export interface JobView {
  readonly job: ProvisionerJob;
}
export interface FollowJobOptions<View extends JobView> {
  /** What the spinner says, e.g. `start dev`. */
  readonly title: string;
  readonly path: string;
  /** Reads the thing again whose job this is. */
  readonly read: () => Promise<View>;
  readonly after?: number;
  readonly signal?: AbortSignal | undefined;
  /** Rows that are worth a line; all by default. */
  readonly shows?: (log: JobLog) => boolean;
}

export const isOver = (job: ProvisionerJob): boolean =>
  job.status === 'succeeded' || job.status === 'failed' || job.status === 'canceled';

/**
 * Shows a job until it has ended: place in the queue, stages, lines, durations. Returns the thing as it is at the end,
 * whatever the end was; when `signal` aborts, as it is then. Throws CliError when the server is lost.
 */
export async function followJob<View extends JobView>(
  client: Client,
  output: Output,
  options: FollowJobOptions<View>,
): Promise<View> {
  const { title, path, read, signal } = options;
  const { progress, colors } = output;
  const summary = (view: View): string => (isOver(view.job) && view.job.status !== 'succeeded' ? view.job.status : '');
  return progress.step(
    title,
    async (step) => {
      const printer = createLogPrinter((text) => progress.note(text), colors);
      const queue = watchQueue(read, (detail) => step.update(detail));
      let last = options.after ?? 0;
      const onLog = (log: JobLog): void => {
        queue.stop();
        if (options.shows?.(log) !== false) printer.print(log);
        step.update(printer.current ?? '');
      };
      try {
        for (;;) {
          last = await followLogs(client, { path, after: last, onLog, signal });
          const view = await read();
          if (isOver(view.job)) printer.close(view.job.completed_at);
          if (isOver(view.job) || signal?.aborted === true) return view;
          await delay(200);
        }
      } finally {
        queue.stop();
      }
    },
    summary,
  );
}

/** Tells where a waiting job stands, once a second until it is stopped; a failed look is not worth a word. */
function watchQueue(read: () => Promise<JobView>, tell: (detail: string) => void): { stop(): void } {
  const look = (): void => {
    read().then(
      ({ job }) => {
        if (stopped || job.status !== 'pending') return;
        tell(job.queue_size > 1 ? `pending, ${job.queue_position} of ${job.queue_size} in the queue` : 'pending');
      },
      () => undefined,
    );
  };
  let stopped = false;
  const timer = setInterval(look, 1_000);
  timer.unref();
  return {
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

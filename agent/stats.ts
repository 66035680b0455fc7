import type { ServerClient } from './server-client.ts';
import { wait } from './wait.ts';

/** Counters of connections through this agent. There are no tunnels, so all of them rest; -1 = latency unknown. */
const idle = {
  connections_by_proto: {},
  connection_count: 0,
  connection_median_latency_ms: -1,
  rx_packets: 0,
  rx_bytes: 0,
  tx_packets: 0,
  tx_bytes: 0,
  session_count_vscode: 0,
  session_count_jetbrains: 0,
  session_count_reconnecting_pty: 0,
  session_count_ssh: 0,
  session_counts: {},
  metrics: [],
};

export interface StatsOptions {
  readonly client: ServerClient;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
}

const minIntervalMs = 1000;

/** Reports at the interval that the last answer named. A report that did not arrive is not repeated. Source: spec/05 §9. */
export async function reportStats({ client, intervalMs, signal }: StatsOptions): Promise<void> {
  let waitMs = intervalMs;
  for (;;) {
    await wait(waitMs, signal);
    if (signal.aborted) return;
    try {
      const answer = await client.call({
        method: 'POST',
        path: '/workspaceagents/me/report-stats',
        body: idle,
        signal,
      });
      const nanoseconds = (answer.body as { report_interval?: unknown } | null)?.report_interval;
      if (answer.status === 200 && typeof nanoseconds === 'number' && nanoseconds > 0)
        waitMs = Math.max(minIntervalMs, nanoseconds / 1_000_000);
      else waitMs = Math.max(waitMs, answer.retryAfterMs ?? 0);
    } catch {
      // The connection tells of an absent server.
    }
  }
}
